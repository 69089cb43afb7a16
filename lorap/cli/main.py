"""Parses the command line, runs the command, and reports an error in one line."""

import errno
import os
import shutil
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from lorap import __version__
from lorap.cli.commands import add_commands
from lorap.cli.extras import missing_extra
from lorap.errors import LorapError

FULL = (errno.ENOSPC, errno.EDQUOT)
UNWRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG)
MAKE_ROOM = "free space or choose another --out"
LEAST_FREE = 65536  # bytes; a disk with less is full


class Parser(ArgumentParser):
    """A parser that reports an error in one line, as all of lorap does."""

    def error(self, message: str) -> NoReturn:
        """Ends with exit code 2."""
        self.exit(2, f"lorap: error: {message}; see '{self.prog} --help'\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code: 0, 1 for an error reported in one line, 130 when interrupted."""
    try:
        arguments = parse(sys.argv[1:] if argv is None else argv)
    except LorapError as error:  # the options of a command may come from a file that somebody has added
        return fail(str(error))
    try:
        run(arguments)
    except LorapError as error:
        return fail(str(error))
    except KeyboardInterrupt:
        print("lorap: interrupted, nothing half-written", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as in `lorap plan | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        out = getattr(arguments, "out", "output")
        if error.errno in FULL:  # the exception names no file, or the one that was copied from
            return fail(f"{out}: {error.strerror}; {MAKE_ROOM}")
        if error.errno in UNWRITABLE:
            return fail(f"{error.filename or out}: {error.strerror}; choose another --out")
        raise
    except ModuleNotFoundError as error:
        if message := missing_extra(arguments.command, error):
            return fail(message)
        raise
    except Exception as error:
        out = getattr(arguments, "out", None)
        if out is None or not is_for_want_of_space(error, out):
            raise
        return fail(f"{out}: {os.strerror(errno.ENOSPC)}; {MAKE_ROOM}")
    return 0


def parse(argv: Sequence[str]) -> Namespace:
    """The options of the command that was asked for; a faulty one ends the program with exit code 2."""
    parser = Parser(prog="lorap", description="Structured compression of LLaMA-family models (LoRAP).")
    parser.add_argument("--version", action="version", version=f"lorap {__version__}")
    add_commands(parser, next((word for word in argv if not word.startswith("-")), None))
    return parser.parse_args(argv)


def is_for_want_of_space(error: Exception, out: Path) -> bool:
    """Whether the disk is full, for which libraries have exceptions of their own; not all of them say so."""
    there = next(folder for folder in out.absolute().parents if folder.exists())
    return os.strerror(errno.ENOSPC) in str(error) or shutil.disk_usage(there).free < LEAST_FREE


def run(arguments: Namespace) -> None:
    """Runs the command that was asked for, with heavy libraries kept quiet."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # what is wrong with a model is said in lorap's own words
    if arguments.command != "tune" and "LOCAL_RANK" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1":
        raise LorapError(
            f"{arguments.command}: is one process, start it without torchrun; only 'lorap tune' is several"
        )
    if arguments.quiet:
        os.environ |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "TQDM_DISABLE": "1"}
    if getattr(arguments, "spec", None) and getattr(arguments, "device", None) == "auto":
        from lorap.machine.gpu import lease

        lease()  # the workflow calls with a spec, and may run several jobs at once; torch must not be imported yet
    arguments.run(arguments)


def fail(message: str) -> int:
    """Prints an error, a line for each of its parts; returns the exit code."""
    for line in message.splitlines():
        print(f"lorap: error: {line}", file=sys.stderr)
    return 1
