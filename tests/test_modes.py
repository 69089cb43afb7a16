"""Whoever shares the disk can read what lorap writes: every file and folder has the mode that the umask gives."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import launch
from tests.gguf_file import write_gguf
from tests.hub import serve_hub
from tests.results_folder import fill, small_spec

pytestmark = pytest.mark.system

MADE = ("from-folder", "from-gguf", "small", "adapter", "tuned", "exported")
COMMANDS: tuple[tuple[object, ...], ...] = (
    ("fetch", "model", "--out", "out/from-folder"),
    ("fetch", "tiny.gguf", "--out", "out/from-gguf"),
    ("calibrate", "--model", "model", "--text", "book.txt", "--nsamples", 4, "--seqlen", 8, "--out", "out/c.st"),
    ("compress", "--model", "model", "--calibration", "out/c.st", "--sparsity", 0.5, "--out", "out/small"),
    ("tune", "--model", "out/small", "--data", "book.txt", "--form", "factored", "--cutoff", 16, "--rows", 12,
     "--held-out", 4, "--batch", 4, "--micro-batch", 4, "--max-steps", 1, "--out", "out/adapter"),
    ("redecompose", "--model", "out/small", "--adapter", "out/adapter", "--out", "out/tuned"),
    ("export", "--model", "out/small", "--out", "out/exported"),
    ("evaluate", "cost", "--model", "out/small", "--out", "out/cost.json"),
)  # fmt: skip
RUN = """
import json, os, sys
from lorap.cli import main
umask, commands = json.load(sys.stdin)
os.umask(umask)
sys.exit(sum(main(command) for command in commands))
"""


def run_all(umask: int, *commands: tuple[object, ...]) -> None:
    """Runs commands one after the other in a process with that umask, which imports the libraries once."""
    asked = json.dumps([umask, [[str(word) for word in command] for command in commands]])
    done = subprocess.run([sys.executable, "-c", RUN], input=asked, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def assert_modes(umask: int, *places: Path) -> None:
    """Every folder and file that is, or is in, one of the places has the mode of that umask."""
    for place in places:
        for path in (place, *place.rglob("*")):
            expected = (0o777 if path.is_dir() else 0o666) & ~umask
            assert path.stat().st_mode & 0o777 == expected, f"{path}: {path.stat().st_mode:o}"


@pytest.mark.parametrize("umask", [pytest.param(0o022, marks=pytest.mark.slow), 0o002], ids=oct)
def test_artifacts_have_the_modes_that_the_umask_gives(work: Path, umask: int) -> None:
    write_gguf(work / "model", work / "tiny.gguf")
    run_all(umask, *COMMANDS)
    assert {path.name for path in (work / "out").iterdir() if path.is_dir()} == set(MADE)
    assert_modes(umask, work / "out")


def test_a_file_that_only_its_owner_may_read_becomes_one_that_others_may_read_too(work: Path) -> None:
    for file in (work / "model").iterdir():
        (work / "mine").mkdir(exist_ok=True)
        (work / "mine" / file.name).write_bytes(file.read_bytes())
        (work / "mine" / file.name).chmod(0o600)
    run_all(0o022, ("fetch", "mine", "--out", "copy"))
    assert_modes(0o022, work / "copy")


@pytest.mark.parametrize("umask", [pytest.param(0o022, marks=pytest.mark.slow), 0o002], ids=oct)
def test_a_report_has_the_modes_that_the_umask_gives(
    tmp_path: Path, umask: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = small_spec()
    folder = fill(spec, tmp_path / "results" / spec.name)
    run_all(umask, ("report", "--spec", spec.sealed().canonical()))
    assert_modes(umask, folder / "report", folder / "metrics.json", folder / "sweep.csv")


def test_a_model_of_the_hub_has_the_modes_that_the_umask_gives(tmp_path: Path, tiny_folder: Path) -> None:
    before = os.umask(0o002)
    try:
        with serve_hub({"owner/tiny": tiny_folder}) as endpoint:
            done = launch(
                tmp_path, "fetch", "owner/tiny", "--out", "m", HF_ENDPOINT=endpoint, HF_HOME=str(tmp_path / "hf")
            )
    finally:
        os.umask(before)
    assert done.code == 0, done.err
    assert_modes(0o002, tmp_path / "m")
