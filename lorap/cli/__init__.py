"""The command line: one file a command; a command is imported when it is asked for."""

from lorap.cli.main import main

__all__ = ["main"]
