"""A tuning run that is killed goes on from its last checkpoint, and ends where an uninterrupted one does."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lorap.artifacts.names import ADAPTER_WEIGHTS
from lorap.tuning.checkpoints import HASHES, last_checkpoint
from tests.command import launch, succeed

pytestmark = pytest.mark.system

STEPS = 40
OPTIONS = ["--model", "small", "--data", "book.txt", "--form", "factored", "--cutoff", 24, "--rows", 60,
           "--held-out", 4, "--batch", 4, "--micro-batch", 2, "--max-steps", STEPS, "--evaluate-every", 4,
           "--learning-rate", 1e-3, "--warmup-steps", 2]  # fmt: skip


@pytest.fixture
def tunable(work: Path) -> Path:
    """A working folder with a compressed model."""
    succeed("compress", "--model", "model", "--calibration", "c.safetensors", "--sparsity", 0.5, "--out", "small")
    return work


def kill_after_a_checkpoint(folder: Path, out: str) -> str:
    """Starts a run and kills it as soon as it has a whole checkpoint; returns that checkpoint."""
    command = [sys.executable, "-m", "lorap", "tune", *map(str, OPTIONS), "--out", out]
    environment = os.environ | {"CI": "true", "PYTHONPATH": str(Path(__file__).parents[1])}
    place = folder / f".{out}.checkpoints"
    for _ in range(5):  # on a busy machine a run may end, and remove its checkpoints, before it is looked at again
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
        while process.poll() is None and not last_checkpoint(place):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if found := last_checkpoint(place):
            return found
        shutil.rmtree(folder / out, ignore_errors=True)
    raise AssertionError("no run could be killed between its first checkpoint and its end")


def test_a_killed_run_goes_on_and_ends_as_an_undisturbed_one(tunable: Path) -> None:
    succeed("tune", *OPTIONS, "--out", "whole")
    reached = kill_after_a_checkpoint(tunable, "killed")
    assert not (tunable / "killed").exists(), "nothing half-written"
    assert 0 < int(reached.rsplit("-", 1)[1]) < STEPS, "it should be killed halfway"
    done = launch(tunable, "tune", *OPTIONS, "--out", "killed")
    assert done.code == 0, done
    whole, resumed = (load_file(tunable / name / ADAPTER_WEIGHTS) for name in ("whole", "killed"))
    torch.testing.assert_close(resumed, whole, rtol=0, atol=1e-6)
    assert (tunable / "killed/history.json").read_text() == (tunable / "whole/history.json").read_text()
    assert not list(tunable.glob(".*checkpoints")), "what only the run itself needs is gone"


@pytest.mark.slow
def test_checkpoints_of_other_settings_are_removed_with_a_line(tunable: Path) -> None:
    kill_after_a_checkpoint(tunable, "out")
    done = launch(tunable, "tune", *OPTIONS, "--max-steps", 3, "--out", "out")
    assert ".out.checkpoints: checkpoints of other settings or of another model, removed" in done.err
    assert done.code == 0, done
    succeed("tune", *OPTIONS, "--max-steps", 3, "--out", "fresh")
    assert (tunable / "out" / ADAPTER_WEIGHTS).read_bytes() == (tunable / "fresh" / ADAPTER_WEIGHTS).read_bytes()


def test_a_damaged_checkpoint_is_passed_over(tunable: Path) -> None:
    reached = kill_after_a_checkpoint(tunable, "out")
    place = tunable / ".out.checkpoints"
    files = [file for file in Path(reached).iterdir() if file.is_file()]
    assert {"optimizer.pt", "rng_state.pth", "trainer_state.json", ADAPTER_WEIGHTS, HASHES} <= {f.name for f in files}
    for file in files:
        whole = file.read_bytes()
        for damaged in (b"", bytes(len(whole)), whole[:-2]):
            file.write_bytes(damaged)
            assert last_checkpoint(place) != reached, file.name
        file.write_bytes(whole)
        assert last_checkpoint(place) == reached
    os.truncate(Path(reached) / "optimizer.pt", 9)
    done = launch(tunable, "tune", *OPTIONS, "--out", "out")
    assert done.code == 0, done


@pytest.mark.slow
def test_two_processes_share_a_batch_and_learn_the_same(tunable: Path) -> None:
    options = [*OPTIONS, "--tuning", "pydoc", "--max-steps", 4]  # no dropout: each process draws its own
    succeed("tune", *options, "--out", "one")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29713"]
    command = [*torchrun, "-m", "lorap", "tune", *map(str, options), "--out", "two"]
    environment = os.environ | {"CI": "true", "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--device", "cpu"], cwd=tunable, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (load_file(tunable / name / ADAPTER_WEIGHTS) for name in ("one", "two"))
    torch.testing.assert_close(two, one, rtol=1e-2, atol=1e-4)
