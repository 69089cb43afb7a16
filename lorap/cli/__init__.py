"""The command line: a table of commands; what each needs is imported when it runs."""

from lorap.cli.main import main

__all__ = ["main"]
