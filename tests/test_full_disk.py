"""Results on a disk that is full, or that may only be read: a line says so, and a rerun with room ends well."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.command import call, fault, succeed
from tests.disturbed import SPECTRA, assert_as_undisturbed, leftovers
from tests.workflow import Checkout

pytestmark = pytest.mark.system

FULL = "No space left on device; free space or choose another --out"


def mount(folder: Path, options: str) -> None:
    """Mounts a disk in memory on a folder, or changes the one that is there; skips where that is not allowed."""
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("cannot mount a disk here, which takes root")


def fill(folder: Path) -> Path:
    """Takes all the room that a disk has."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(1024)):
            pass
    return ballast


@pytest.fixture
def own_disk(copy_of_made: Checkout) -> Iterator[Checkout]:
    """A complete grid whose results are on a disk of their own."""
    results = copy_of_made.folder / "results"
    saved = results.rename(results.with_name("saved"))
    results.mkdir()
    mount(results, "size=16m")
    shutil.copytree(saved, results, dirs_exist_ok=True)
    shutil.rmtree(saved)
    yield copy_of_made
    subprocess.run(["umount", results], check=True)


@pytest.mark.slow
def test_results_on_a_full_disk_are_made_once_there_is_room(own_disk: Checkout, made: Checkout) -> None:
    files = [own_disk.folder / SPECTRA, own_disk.folder / f"{SPECTRA}.meta.json"]
    for file in files:
        file.unlink()
    ballast = fill(own_disk.folder / "results")
    before = own_disk.stamps()
    assert f"lorap: error: {SPECTRA}: {FULL}" in own_disk.run("snakemake", ok=False)
    assert own_disk.stamps() == before
    assert leftovers(own_disk) == []
    ballast.unlink()
    own_disk.run("snakemake")
    assert_as_undisturbed(own_disk, made)


@pytest.mark.slow
def test_results_that_may_only_be_read_stay_as_they_are(own_disk: Checkout, made: Checkout) -> None:
    (own_disk.folder / SPECTRA).unlink()
    before = own_disk.stamps()
    mount(own_disk.folder / "results", "remount,ro")
    told = own_disk.run("snakemake", ok=False)
    assert "Write-protected output files for rule" in told
    assert "Traceback" not in told
    copied = own_disk.run("lorap", "fetch", "models/tiny", "--out", "results/demo/copy", ok=False)
    assert copied == "lorap: error: results/demo/.copy.lock: Read-only file system; choose another --out\n"
    assert own_disk.stamps() == before
    mount(own_disk.folder / "results", "remount,rw")
    own_disk.run("snakemake")
    assert_as_undisturbed(own_disk, made)


@pytest.mark.parametrize("free", [32, 64, 128])
def test_a_tuning_that_fills_the_disk_is_told_in_one_line(work: Path, free: int) -> None:
    """Configuration, tokenizer, weights and optimizer are written by libraries that each complain in their own way."""
    succeed("compress", "--model", "model", "--calibration", "c.safetensors", "--sparsity", 0.5, "--out", "small")
    disk = work / "disk"
    disk.mkdir()
    mount(disk, f"size={free}k")
    try:
        options = ("--data", "book.txt", "--form", "factored", "--cutoff", 24, "--rows", 12, "--held-out", 4)
        steps = ("--batch", 4, "--max-steps", 2, "--evaluate-every", 1)
        tune = ("tune", "--model", "small", *options, *steps, "--out", "disk/out", "--quiet")
        assert fault(call(*tune)) == f"disk/out: {FULL}"
        assert not (disk / "out").exists()
        mount(disk, "remount,size=2m")
        assert "disk/out: written" in succeed(*tune)
        assert [path.name for path in disk.iterdir()] == ["out"]
    finally:
        subprocess.run(["umount", disk], check=True)
