"""The lock of a run: what a dead one of this machine left is freed, and nothing else."""

import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lorap.errors import LorapError
from lorap.workflow.one_run import CLUSTER, OURS, free_dead_lock, hold
from lorap.workflow.snakemake_inside import LOCKS
from tests.disturbed import wait_for

RUN = """
import subprocess, sys
from lorap.workflow.one_run import hold
lock = hold(jobs_are_local=True)
job = [sys.executable, "-c", "import time; time.sleep(600)"]
print(subprocess.Popen(job, stdout=subprocess.DEVNULL, pass_fds=(lock,)).pid)
"""


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Snakemake's lock of a run that has been killed."""
    monkeypatch.chdir(tmp_path)
    LOCKS.mkdir(parents=True)
    lock = LOCKS / "0.input.lock"
    lock.write_text("some/file\n")
    return lock


def test_the_lock_of_a_dead_run_is_freed(lock: Path) -> None:
    OURS.write_text(platform.node())
    free_dead_lock(LOCKS)
    assert not lock.exists()


@pytest.mark.parametrize(
    "leave", [lambda: None, lambda: OURS.write_bytes(CLUSTER), lambda: OURS.write_text("another-machine")]
)
def test_a_lock_that_may_be_another_machines_is_left_to_a_person(lock: Path, leave: Callable[[], object]) -> None:
    leave()
    free_dead_lock(LOCKS)
    assert lock.exists()


def test_jobs_that_outlive_their_run_keep_its_lock(lock: Path) -> None:
    environment = {"PYTHONPATH": str(Path(__file__).parents[1])}
    run = subprocess.run([sys.executable, "-c", RUN], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    try:
        free_dead_lock(LOCKS)
        assert lock.exists()
        with pytest.raises(LorapError, match="another run is at work here"):
            hold(jobs_are_local=True)
    finally:
        os.kill(int(run.stdout), signal.SIGKILL)

    def freed() -> bool:
        free_dead_lock(LOCKS)
        return not lock.exists()

    wait_for(freed)
