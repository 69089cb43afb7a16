"""kill -9 of a job, of Snakemake with and without its jobs, of DVC; and two runs at once. A plain rerun is enough."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.disturbed import AT_WORK, LOCKED, SPECTRA, assert_as_undisturbed, group_of, jobs_of, wait_for
from tests.workflow import Checkout

pytestmark = pytest.mark.system

REPORT = "results/demo/report/meta.json"


@contextmanager
def started(checkout: Checkout, *command: str) -> Iterator["subprocess.Popen[str]"]:
    """A run whose first job has begun and is held there; nothing of it outlives the test."""
    run = checkout.start(*command)
    try:
        wait_for(lambda: jobs_of(run) or run.poll() is not None)
        for job in jobs_of(run):
            job.suspend()
        assert run.poll() is None, checkout.output.read_text()
        yield run
    finally:
        for process in group_of(run):
            process.kill()
        run.wait()


def go_on(run: "subprocess.Popen[str]") -> None:
    """Lets the job go on that is held, and waits until all of the run has ended."""
    for job in jobs_of(run):
        job.resume()
    wait_for(lambda: not group_of(run))


@pytest.mark.slow
def test_a_killed_job_is_made_again_with_what_follows(copy_of_made: Checkout, made: Checkout) -> None:
    (copy_of_made.folder / SPECTRA).unlink()
    before = copy_of_made.stamps()
    with started(copy_of_made, "snakemake") as run:
        jobs_of(run)[0].kill()
        assert run.wait() != 0
        assert "logs/demo/evaluate/tiny/spectra.log" in copy_of_made.output.read_text()
    copy_of_made.run("snakemake")
    assert_as_undisturbed(copy_of_made, made)
    after = copy_of_made.stamps()
    changed = {name for name in after if after[name] != before.get(name)}
    report = {name for name in after if name.startswith("results/demo/report/")}
    summary = {"results/demo/metrics.json", "results/demo/sweep.csv"}
    assert changed == {SPECTRA, f"{SPECTRA}.meta.json"} | report | summary


def test_a_run_that_is_killed_with_its_jobs_leaves_no_lock_to_be_freed_by_hand(
    copy_of_made: Checkout, made: Checkout
) -> None:
    (copy_of_made.folder / REPORT).unlink()
    with started(copy_of_made, "snakemake") as run:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    assert list(copy_of_made.folder.glob(".snakemake/locks/*")), "Snakemake itself frees nothing"
    copy_of_made.run("snakemake")
    assert_as_undisturbed(copy_of_made, made)


@pytest.mark.slow
def test_no_run_begins_while_jobs_of_a_killed_one_go_on(copy_of_made: Checkout, made: Checkout) -> None:
    (copy_of_made.folder / REPORT).unlink()
    with started(copy_of_made, "snakemake") as run:
        run.kill()
        run.wait()
        assert LOCKED in copy_of_made.run("snakemake", ok=False)
        go_on(run)
    copy_of_made.run("snakemake")
    assert_as_undisturbed(copy_of_made, made)


def test_of_two_runs_at_once_the_second_is_refused_even_after_an_unlock(copy_of_made: Checkout, made: Checkout) -> None:
    (copy_of_made.folder / REPORT).unlink()
    with started(copy_of_made, "snakemake") as run:
        assert LOCKED in copy_of_made.run("snakemake", ok=False)
        copy_of_made.run("snakemake", "--unlock")
        refused = copy_of_made.run("snakemake", ok=False)
        assert AT_WORK in refused
        assert "Traceback" not in refused
        go_on(run)
        assert run.wait() == 0, copy_of_made.output.read_text()
    assert_as_undisturbed(copy_of_made, made)


@pytest.mark.parametrize("with_all", [pytest.param(True, marks=pytest.mark.slow), False])
def test_dvc_goes_on_after_a_kill(copy_of_made: Checkout, made: Checkout, with_all: bool) -> None:
    (copy_of_made.folder / REPORT).unlink()
    stage = ("dvc", "repro", "--single-item", "report@demo")
    (copy_of_made.folder / "results/demo/survey").mkdir()  # whose stage would make it, a grid may have no surveys
    with started(copy_of_made, *stage) as run:
        if with_all:
            os.killpg(run.pid, signal.SIGKILL)
        else:
            run.kill()
            run.wait()
            assert LOCKED in copy_of_made.run(*stage, ok=False), "its Snakemake is still at work"
            go_on(run)
    copy_of_made.run(*stage)
    assert "report@demo" in (copy_of_made.folder / "dvc.lock").read_text()
    assert_as_undisturbed(copy_of_made, made)
