"""All that the rules need of Snakemake and that its manual does not promise, each with its reason.

``tests/test_snakemake_inside.py`` shows with the real Snakemake that each still does what is expected of it.
"""

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lorap.errors import LorapError
from lorap.machine.gpu import devices
from lorap.workflow.one_run import hold

LOG_END = 20  # lines of a failed job's log that are shown
RECORDS = Path(".snakemake/metadata")  # of what Snakemake has made
LOCKS = Path(".snakemake/locks")  # its lock, which stays behind when it is killed, whether or not its jobs go on


@contextmanager
def in_snakemakes_words() -> Iterator[None]:
    """An error of lorap as one of Snakemake's, which it shows without a traceback."""
    from snakemake.exceptions import WorkflowError

    try:
        yield
    except LorapError as error:
        raise WorkflowError(str(error)) from None


def has_records() -> bool:
    """Whether Snakemake has made anything in this folder; without records it judges results by their times alone."""
    return RECORDS.is_dir()


def take_turn(workflow: Any) -> None:
    """Keeps other runs out of this folder until this one and all its jobs on this machine have ended.

    The lock is an open file that jobs must inherit, since they may outlive Snakemake: nothing else lasts just as long
    as they do, however they end. Snakemake closes all files to its jobs, unless its Popen is told to pass one.
    """
    from snakemake.shell import shell

    with in_snakemakes_words():
        lock = hold(jobs_are_local=workflow.local_exec)
    shell._process_args["pass_fds"] = (lock,)


def wait_without_timers(workflow: Any) -> None:
    """Takes the limit of jobs a second away where jobs run on this machine, which only clusters need.

    With it Snakemake looks for work once a second for every job that it has started so far. After a hundred jobs that
    takes a third of a core, which the jobs then lack.
    """
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None


def cores_of_a_job(workflow: Any) -> tuple[int, int]:
    """The most cores that a job takes, and the share of one beside which others run.

    Half of them is enough for a job that also loads and writes; where more than two jobs may each have one of this
    machine's GPUs (``--resources gpu=4``), it is as many as let all of these run at once.

    A rule's threads are settled when the rules are read, before any job has resources. Inside a job of Slurm, where
    Snakemake reads the rules again, both are what the job has been given, whatever the node has.
    """
    if workflow.remote_exec and (given := os.getenv("SLURM_CPUS_PER_TASK")):
        return int(given), int(given)
    cores = workflow.cores or 1
    return cores, max(1, cores // max(2, _gpus_at_once(workflow)))


def _gpus_at_once(workflow: Any) -> int:
    """How many of this machine's GPUs jobs may have at once: all, unless ``--resources gpu=1`` limits them."""
    if workflow.nodes is not None:  # jobs are sent elsewhere
        return 0
    asked, found = workflow.global_resources.get("gpu").value, len(devices())
    return found if asked is None else min(asked, found)


def gpus_of_a_job(workflow: Any) -> int:
    """1 where jobs run on a GPU: this machine's, or one of the cluster that they are sent to; else 0.

    Jobs are sent to a cluster where their number has a limit of its own (``--jobs``).
    """
    if workflow.remote_exec and "SLURM_JOB_ID" in os.environ:
        return 1 if "SLURM_GPUS" in os.environ else 0
    if workflow.nodes is None or shutil.which("sinfo") is None:
        return 1 if devices() else 0
    asked = subprocess.run(["sinfo", "--noheader", "--format=%G"], capture_output=True, text=True, check=False)
    if asked.returncode:
        raise LorapError(f"sinfo: the cluster does not answer ({asked.stderr.strip()})")
    return 1 if "gpu" in asked.stdout else 0


def show_failed_logs() -> None:
    """Has the end of a failed job's log be shown as soon as it fails.

    ``--show-failed-logs`` shows whole logs, and none where Snakemake is quiet about rules.
    """
    from snakemake.logging import logger

    logger.addHandler(_FailedLogs())


class _FailedLogs(logging.Handler):
    """Listens for failed jobs among what Snakemake logs, by the names that it gives to loggers of others."""

    def emit(self, record: logging.LogRecord) -> None:
        """Shows the logs of a job that has failed."""
        from snakemake_interface_logger_plugins.common import LogEvent

        if getattr(record, "event", None) == LogEvent.JOB_ERROR:
            for log in record.__dict__["log"]:
                if Path(log).is_file():
                    lines = Path(log).read_text(encoding="utf-8", errors="replace").splitlines()
                    # in one piece: another thread of Snakemake may be writing too
                    sys.stderr.write("\n    ".join([f"{log}:", *lines[-LOG_END:]]) + "\n")
