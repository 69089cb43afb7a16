"""Where nothing can or may be written: one line, and the place is as it was."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lorap.errors import LorapError
from lorap.files import new_file, new_folder, write_json
from tests.command import refused, succeed

COMPRESS: tuple[object, ...] = (
    "compress",
    "--model",
    "model",
    "--calibration",
    "c.safetensors",
    "--sparsity",
    0.5,
    "--out",
)
CALIBRATE = ("calibrate", "--model", "model", "--text", "book.txt", "--nsamples", 100, "--out")
COST = ("evaluate", "cost", "--model", "model", "--out")
FETCH: tuple[object, ...] = ("fetch", "model", "--out")


@pytest.fixture
def disk(work: Path) -> Iterator[Path]:
    """A disk of 64 KB in the working folder."""
    (work / "disk").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(work / "disk")]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("cannot mount a small disk here, which takes root")
    yield Path("disk")
    subprocess.run(["umount", work / "disk"], check=True)


def test_a_folder_that_is_not_ours_is_left_alone(work: Path) -> None:
    (work / "out").mkdir()
    (work / "out" / "thesis.txt").write_text("years of work")
    for argv in (COMPRESS, FETCH):
        assert refused(*argv, "out") == "out: exists and was not written by lorap; choose another --out or remove it"
    for argv in (CALIBRATE, COST):
        assert refused(*argv, "out") == "out: is a folder, expected a file name; choose another --out"


def test_an_empty_folder_may_be_filled(work: Path) -> None:
    (work / "out").mkdir()
    assert "out: written" in succeed(*FETCH, "out")


def test_a_file_in_the_way_is_left_alone(work: Path) -> None:
    for argv in (COMPRESS, FETCH):
        assert refused(*argv, "book.txt") == "book.txt: is a file, expected a folder name; choose another --out"
    for argv in (COMPRESS, FETCH, CALIBRATE, COST):
        line = refused(*argv, "book.txt/out")
        assert line.startswith("book.txt")
        assert line.endswith("; choose another --out")


def test_the_model_itself_is_not_overwritten(work: Path) -> None:
    assert refused(*COMPRESS, "model").startswith("model: exists and was not written by lorap")


def test_a_full_disk_is_told_and_nothing_stays_on_it(disk: Path) -> None:
    succeed(*COMPRESS, "small")
    space = "no disk space, 0.3 MB needed, 0.1 MB free"
    assert refused(*COMPRESS, disk / "out") == f"disk/.out.checkpoints: {space}"
    assert refused("export", "--model", "small", "--out", disk / "out").startswith("disk/.out.partial: no disk space, ")
    for argv in (FETCH, CALIBRATE):
        assert refused(*argv, disk / "out") == "disk/out: No space left on device; free space or choose another --out"
    (disk / "ballast").write_bytes(bytes(60 * 1024))  # leaves room for the numbers, but not for their meta
    assert refused(*COST, disk / "out") == "disk/out: No space left on device; free space or choose another --out"
    assert [path.name for path in disk.iterdir()] == ["ballast"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_named(work: Path) -> None:
    (work / "closed").mkdir(mode=0o500)
    assert refused(*FETCH, "closed/out").endswith("Permission denied; choose another --out")


def test_a_step_that_fails_leaves_what_was_there_before(tmp_path: Path) -> None:
    file, folder = tmp_path / "file.json", tmp_path / "folder"
    write_json(file, "old")
    with new_folder(folder) as partial:
        write_json(partial / "a.json", "old")
    with suppress(LorapError), new_file(file) as partial:
        partial.write_text("new")
        raise LorapError("failed")
    with suppress(LorapError), new_folder(folder) as partial:
        write_json(partial / "a.json", "new")
        raise LorapError("failed")
    assert file.read_text() == (folder / "a.json").read_text() == '"old"\n'
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.json", "folder"]


def test_what_a_killed_job_left_is_no_part_of_the_next_one(tmp_path: Path) -> None:
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "stale").touch()
    with new_folder(tmp_path / "out") as partial:
        (partial / "fresh").touch()
    assert sorted(path.name for path in tmp_path.rglob("*")) == [".lorap", "fresh", "out"]
