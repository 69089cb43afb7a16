"""Runs lorap as a user would, inside this process or in one of its own, and checks how it tells a fault."""

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from lorap.cli import main

PREFIX = "lorap: error: "


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


def call(*argv: object) -> Done:
    """Runs a command in this process, which saves the seconds that its imports take; an exception is a failure."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main([str(argument) for argument in argv])
        except SystemExit as end:
            code = int(end.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


def launch(folder: Path, *argv: object, **variables: str) -> Done:
    """Runs a command in a folder as a process of its own."""
    own = {name: value for name, value in os.environ.items() if name != "TQDM_DISABLE"}
    done = subprocess.run(
        [sys.executable, "-m", "lorap", *map(str, argv)],
        cwd=folder,
        env=own | {"CI": "true", "PYTHONPATH": str(Path(__file__).parents[1])} | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def succeed(*argv: object) -> str:
    """What a command that must succeed prints."""
    done = call(*argv)
    assert (done.code, done.err) == (0, ""), done
    return done.out


def faults(done: Done) -> list[str]:
    """The faults that a command ended with: nothing but lines of them, and no success."""
    lines = done.err.splitlines()
    assert done.code in (1, 2), done
    assert done.out == "", done
    assert lines, done
    assert all(line.startswith(PREFIX) for line in lines), done.err
    return [line.removeprefix(PREFIX) for line in lines]


def fault(done: Done) -> str:
    """The one line that a command ended with."""
    found = faults(done)
    assert len(found) == 1, found
    return found[0]


def refused(*argv: object) -> str:
    """The line that a command ends with; the working folder must be as it was."""
    before = _contents()
    line = fault(call(*argv))
    assert _contents() == before, line
    return line


def _contents() -> dict[Path, int]:
    """Every path of the working folder, with the time of the last change of a file."""
    return {path: path.lstat().st_mtime_ns * path.is_file() for path in Path().rglob("*")}
