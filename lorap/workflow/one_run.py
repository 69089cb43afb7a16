"""One run of the workflow at a time in a folder, by a lock that dies with the run and its jobs; no torch here."""

import fcntl
import os
import platform
import shutil
from pathlib import Path

from lorap.errors import LorapError

OURS = Path(".snakemake/lorap.lock")
CLUSTER = b"a cluster's"


def hold(jobs_are_local: bool) -> int:
    """Keeps other runs out of the working folder until all processes have ended that have the lock, however they end.

    Args:
        jobs_are_local: Whether the jobs run on this machine. Those of a cluster outlive the lock, so that after them
            only a person can say that the folder is free.

    Returns:
        The lock: a file that stays open, to be handed on to every job.

    Raises:
        LorapError: Another run, or a job that a killed run left behind, is at work in the folder.
    """
    lock = os.open(OURS, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LorapError(
            f"{Path.cwd()}: another run is at work here, or jobs that a killed one left behind; "
            "wait for them or end them ('pgrep -af lorap' lists jobs)"
        ) from None
    holder = platform.node().encode() if jobs_are_local else CLUSTER
    os.pwrite(lock, holder, 0)
    os.ftruncate(lock, len(holder))
    return lock


def free_dead_lock(snakemakes: Path) -> None:
    """Removes Snakemake's own lock where the run that left it was of this machine and is dead, as are all its jobs.

    Args:
        snakemakes: The folder that is its lock.
    """
    if not (snakemakes.is_dir() and OURS.is_file()):
        return
    with OURS.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        if lock.read() == platform.node():
            shutil.rmtree(snakemakes)
