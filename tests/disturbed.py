"""What a run that was disturbed must come to, and the processes of a run."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.workflow import LIMIT, NOTHING, Checkout

TABLES = (
    "report/main.csv",
    "report/tuning.csv",
    "report/redecompose.csv",
    "report/cost.csv",
    "metrics.json",
    "sweep.csv",
)
SPECTRA = "results/demo/evaluate/tiny/spectra.json"  # what takes least to make again
LOCKED = "Directory cannot be locked"  # as Snakemake says it
AT_WORK = "another run is at work here"  # as the workflow says it


def tables(checkout: Checkout) -> dict[str, str]:
    """The tables that hold no measured times."""
    return {name: (checkout.folder / "results/demo" / name).read_text() for name in TABLES}


def leftovers(checkout: Checkout) -> list[Path]:
    """What only a running job or a running Snakemake may have."""
    hidden = {
        path for kind in ("partial", "old", "lock", "checkpoints") for path in checkout.folder.rglob(f".*.{kind}")
    }
    return sorted([*hidden, *checkout.folder.glob(".snakemake/locks/*")])


def assert_as_undisturbed(checkout: Checkout, undisturbed: Checkout) -> None:
    """A complete grid, whole to the last byte, with the same tables; and nothing besides."""
    assert checkout.run("lorap", "verify", "--bytes").strip().startswith("demo: 27 of 27 artifacts")
    assert tables(checkout) == tables(undisturbed)
    assert checkout.run("lorap", "prune") == ""
    assert leftovers(checkout) == []
    assert NOTHING in checkout.run("snakemake", "-n")


def jobs_of(run: "subprocess.Popen[str]") -> list[psutil.Process]:
    """The ``lorap`` processes in the process group of a run, those that a dead Snakemake left behind too."""
    return [process for process in group_of(run) if "lorap" in _programs(process)]


def group_of(run: "subprocess.Popen[str]") -> list[psutil.Process]:
    """The living processes of a run's group."""
    return [process for process in psutil.process_iter() if _group(process) == run.pid]


def wait_for(what: Callable[[], object], seconds: float = LIMIT) -> None:
    """Waits until something holds; a limit of time is a failure of the test."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


def _group(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid) if process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.NoSuchProcess, ProcessLookupError):
        return None


def _programs(process: psutil.Process) -> list[str]:
    """The names of a process's program and of the script that it runs."""
    try:
        return [Path(word).name for word in process.cmdline()[:2]]
    except psutil.NoSuchProcess:
        return []
