"""Kills at random moments, each followed by a plain rerun: the results are those of a run that nothing disturbed."""

import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.disturbed import AT_WORK, LOCKED, assert_as_undisturbed, group_of, jobs_of, tables, wait_for
from tests.workflow import Checkout, make_checkout

KILLS = int(os.environ.get("LORAP_KILLS", "100"))
SEED = int(os.environ.get("LORAP_SEED", "1"))
LONGEST = float(os.environ.get("LORAP_LONGEST", "25"))  # seconds from a start, or from the last kill, to the next kill
UNKNOWN = ("tokenizer", "generation", "modeling", ".lorap")  # files that Snakemake does not know of; see 'lorap adopt'
RATES = (1e-3, 2e-3)  # learning rates between which the settings go to and fro


class Disturber:
    """Runs the workflow again and again, and kills at random what it finds."""

    def __init__(self, checkout: Checkout) -> None:
        self.checkout = checkout
        self.draw = random.Random(SEED)
        self.count: Counter[str] = Counter()
        self.left: list[subprocess.Popen[str]] = []  # runs that may have left jobs behind

    @property
    def kills(self) -> int:
        return sum(self.count[kind] for kind in ("group", "snakemake", "job"))

    def run(self) -> None:
        """One run, killed or not."""
        self.left = [run for run in self.left if group_of(run)]
        run = self.checkout.start("snakemake", "--cores", "2")
        hit = False
        while self.kills < KILLS:
            try:
                run.wait(self.draw.uniform(0.2, LONGEST))
                break
            except subprocess.TimeoutExpired:
                hit = True
                if self.kill(run) != "job":
                    run.wait()
                    self.left.append(run)
                    return
        run.wait()
        self.judge(run.returncode, hit)

    def kill(self, run: "subprocess.Popen[str]") -> str:
        """Kills a run with its jobs, without them, or one of its jobs alone; returns which."""
        jobs = jobs_of(run)
        kind = self.draw.choice(["group", "snakemake", "job"] if jobs else ["group", "snakemake"])
        if kind == "group":
            os.killpg(run.pid, signal.SIGKILL)
        elif kind == "snakemake":
            run.kill()
        else:
            self.draw.choice(jobs).kill()
        self.count[kind] += 1
        print(f"{time.strftime('%H:%M:%S')} {self.kills}: {kind}, beside {len(jobs)} jobs", flush=True)
        return kind

    def judge(self, code: int, hit: bool) -> None:
        """A run that ended by itself has made everything, or has lost a job, or was refused with a reason."""
        said = self.checkout.output.read_text()
        if code == 0:
            self.count["complete"] += 1
            self.make_work()
        elif LOCKED in said or AT_WORK in said:
            self.refused(said)
        else:
            assert hit, said[-3000:] + self.checkout.logs()

    def refused(self, said: str) -> None:
        """A rerun is refused where jobs of a killed run went on when it started, and must not be otherwise."""
        if self.left:
            self.count["refused while jobs went on"] += 1
            wait_for(lambda: not any(group_of(run) for run in self.left))
            return
        self.count["unlock"] += 1
        print("unlock", said[-1500:], flush=True)
        self.checkout.run("snakemake", "--unlock")

    def make_work(self) -> None:
        """Deletes results, or changes a setting."""
        if self.draw.random() < 0.25:
            self.count["changed setting"] += 1
            self.set_rate(RATES[self.count["changed setting"] % 2])
            return
        files = sorted(name for name in self.checkout.stamps() if not Path(name).name.startswith(UNKNOWN))
        for file in self.draw.sample(files, self.draw.randint(1, 8)):
            (self.checkout.folder / file).unlink()
            self.count["deleted files"] += 1

    def end(self) -> None:
        """Ends what is still at work, as after a failure of the test."""
        for run in self.left:
            for process in group_of(run):
                process.kill()

    def set_rate(self, rate: float) -> None:
        params = self.checkout.params()
        params["tune"]["tiny"]["learning_rate"] = rate
        self.checkout.write_params(params)


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_as_an_undisturbed_one(
    made: Checkout, tmp_path: Path, tiny_folder: Path
) -> None:
    checkout = make_checkout(tmp_path / "checkout", tiny_folder)
    rate, expected = checkout.params()["tune"]["tiny"]["learning_rate"], tables(made)
    assert rate == RATES[0]
    print(f"seed {SEED}, {KILLS} kills")
    disturber = Disturber(checkout)
    try:
        while disturber.kills < KILLS:
            disturber.run()
        wait_for(lambda: not any(group_of(run) for run in disturber.left))
    finally:
        disturber.end()
    disturber.set_rate(rate)
    checkout.run("snakemake")
    assert tables(checkout) == expected
    assert_as_undisturbed(checkout, made)
    print(dict(disturber.count))
    assert disturber.count["unlock"] == 0, "a lock of the dead is to be freed without hand"
