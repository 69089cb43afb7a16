"""The help of every command, and how little a command loads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lorap.cli.commands import COMMANDS
from lorap.cli.evaluate import MEASURES
from tests.command import call

EVERY = [[name] for name in COMMANDS if name != "evaluate"] + [["evaluate", name] for name in MEASURES]


@pytest.mark.parametrize("command", [[], *EVERY], ids=" ".join)
def test_help_tells_the_options_and_an_example(command: list[str]) -> None:
    done = call(*command, "--help")
    assert (done.code, done.err) == (0, "")
    assert "usage: lorap" in done.out
    assert not command or f"lorap {' '.join(command)} " in done.out.split("example:")[1]


def test_help_imports_nothing_that_takes_seconds(tmp_path: Path) -> None:
    code = "import sys; sys.argv = ['lorap', '--help']; import lorap.cli, atexit\n"
    code += "atexit.register(lambda: print(sorted(sys.modules), file=sys.stderr)); lorap.cli.main()"
    path = {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | path, cwd=tmp_path, capture_output=True)
    assert done.returncode == 0
    loaded = {name.strip("'[]\n ") for name in done.stderr.decode().split(",")}
    assert "lorap.cli.main" in loaded
    assert not loaded & {"torch", "transformers", "pydantic", "yaml", "numpy", "datasets", "lorap.settings.schema"}


def test_a_command_loads_no_other_one(tmp_path: Path) -> None:
    code = "import sys; from lorap.cli.main import parse; parse(['verify']); print(*sys.modules)"
    path = {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | path, cwd=tmp_path, capture_output=True, check=True
    )
    loaded = set(done.stdout.decode().split())
    assert "lorap.cli.verify" in loaded
    assert not loaded & {f"lorap.cli.{name}" for name in COMMANDS if name != "verify"}
