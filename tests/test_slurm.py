"""The workflow on a real Slurm, such as tests/slurm/cluster.sh starts: every step is a job of the cluster."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

from lorap.artifacts import catalogue
from lorap.artifacts.grid_specs import compress_spec
from lorap.machine import needs
from lorap.machine.streaming import read_model
from lorap.settings.config import load_params
from tests.workflow import ROOT, Checkout, make_checkout

CORES = "2"
LOCALLY = ("snakemake", "--cores", CORES)
ON_SLURM = (
    *("snakemake", "--workflow-profile", "profiles/slurm", "--cores", CORES, "--latency-wait", "10"),
    *("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "5"),
)
HOUR = 3600  # that a run with a lost node stays under, on a busy machine
DAEMON = Path("/run/slurmd.pid")
FIELDS = {  # of squeue
    "id": "JobID",
    "state": "State",
    "rule": "Comment",
    "memory": "MinMemory",
    "gpus": "tres-per-job",
    "folder": "WorkDir",
}
WIDTH = 300  # of a column
WITHOUT_GPU = {"fetch", "calibrate", "report"}
UNDONE = ("PENDING", "RUNNING", "CONFIGURING", "COMPLETING")


def slurm_answers() -> bool:
    """Whether there is a Slurm with a node that takes jobs, and Snakemake's way to it."""
    if shutil.which("sinfo") is None or find_spec("snakemake_executor_plugin_slurm") is None:
        return False
    asked = subprocess.run(["sinfo", "--noheader", "--format=%t"], capture_output=True, text=True, check=False)
    return asked.returncode == 0 and any(state in asked.stdout for state in ("idle", "mix", "alloc"))


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not slurm_answers(), reason="no Slurm; see tests/slurm/cluster.sh, and pip install lorap[slurm]"
    ),
]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Checkout:
    """A checkout in which `snakemake` has run on this machine."""
    checkout = make_checkout(tmp_path_factory.mktemp("undisturbed") / "checkout", tiny_folder)
    checkout.run(*LOCALLY)
    return checkout


@pytest.fixture
def checkout(tmp_path: Path, tiny_folder: Path) -> Iterator[Checkout]:
    """A checkout in which nothing has run; jobs that a failed test leaves behind are cancelled."""
    yield make_checkout(tmp_path / "checkout", tiny_folder)
    for job in jobs(tmp_path, *UNDONE):
        subprocess.run(["scancel", job["id"]], check=False)


def jobs(folder: Path, *states: str) -> list[dict[str, str]]:
    """The jobs of a folder that Slurm knows, also those that have ended; of some states only where they are named.

    MinJobAge in slurm.conf says how long it knows them.
    """
    form = ",".join(f"{field}:{WIDTH}" for field in FIELDS.values())
    command = ["squeue", "--states=all", "--noheader", "--Format", form]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    starts = range(0, WIDTH * len(FIELDS), WIDTH)
    rows = [
        {name: line[start : start + WIDTH].strip() for name, start in zip(FIELDS, starts, strict=True)}
        for line in listed.splitlines()
    ]
    mine = [row for row in rows if Path(row["folder"]).is_relative_to(folder)]
    return [row for row in mine if not states or row["state"] in states]


def running(folder: Path, rule: str, run: Future[str]) -> dict[str, str]:
    """A running job of a rule, once ``snakemake`` has one."""
    while not run.done():
        for job in jobs(folder, "RUNNING"):
            if job["rule"].startswith(f"rule_{rule}"):
                return job
        time.sleep(0.2)
    raise AssertionError(f"no job of {rule} was seen to run: {run.result()[-3000:]}")


def started(checkout: Checkout, *options: str, ok: bool = True) -> Future[str]:
    """`snakemake` on the cluster, beside the test."""
    return ThreadPoolExecutor(1).submit(checkout.run, *ON_SLURM, *options, ok=ok, limit=HOUR)


def tables(checkout: Checkout) -> dict[str, bytes]:
    """The tables of a report, but for those that hold measured times, and what DVC shows of them."""
    results = checkout.folder / "results/demo"
    names = [f"report/{name}.csv" for name in catalogue.TABLES if name not in catalogue.MEASURED_TABLES]
    return {name: (results / name).read_bytes() for name in (*names, catalogue.METRICS, catalogue.SWEEP)}


def assert_whole(checkout: Checkout, undisturbed: Checkout) -> None:
    """Every artifact is what the settings say, to the last byte, and the tables are those of the undisturbed run."""
    assert "27 of 27 artifacts" in checkout.run("lorap", "verify", "--bytes")
    assert tables(checkout) == tables(undisturbed)


def test_every_step_is_a_job_of_the_cluster(checkout: Checkout, undisturbed: Checkout) -> None:
    printed = checkout.run(*ON_SLURM, limit=HOUR)
    done = jobs(checkout.folder)
    assert printed.count("has been submitted with SLURM jobid") == len(done) == 21
    assert {job["state"] for job in done} == {"COMPLETED"}
    rules = [job["rule"].removeprefix("rule_").split("_wildcards_")[0] for job in done]
    counts = {rule: rules.count(rule) for rule in rules}
    assert counts == {
        "fetch": 1, "calibrate": 1, "spectra": 1, "compress": 2, "tune": 1, "redecompose": 2,
        "evaluate_dense": 1, "evaluate_compressed": 2, "evaluate_adapter": 1, "evaluate_redecomposed": 2, "report": 1,
        "cost_dense": 1, "cost_compressed": 2, "cost_adapter": 1, "cost_redecomposed": 2,
    }  # fmt: skip
    asked = {rule: job["memory"] for rule, job in zip(rules, done, strict=True)}
    params = load_params(checkout.folder / "params.yaml")
    model = read_model(checkout.folder / "results/demo/models/tiny/config.json")
    need = needs.compress(model, compress_spec(params, "lorap", 0.5), params.calibrate["pydoc-4x16"])
    assert asked["compress"] in {f"{need.memory(gpu)}M" for gpu in (False, True)}
    gpu = {rule for rule, job in zip(rules, done, strict=True) if job["gpus"] == "gres:gpu:1"}
    assert gpu == (set(rules) - WITHOUT_GPU if "gpu" in node("%G") else set())
    assert_whole(checkout, undisturbed)
    assert "Nothing to be done" in checkout.run(*LOCALLY)


def test_a_cancelled_job_is_named_and_a_plain_rerun_finishes(checkout: Checkout, undisturbed: Checkout) -> None:
    run = started(checkout, "--retries", "0", ok=False)
    subprocess.run(["scancel", running(checkout.folder, "tune", run)["id"]], check=True)
    printed = run.result()
    assert "SLURM status is: 'CANCELLED'" in printed
    assert "Error in rule tune" in printed
    results = checkout.folder / "results/demo"
    tuned = results / "tune/tiny/pydoc-4x16/lorap-0.5/tiny"
    assert not list(tuned.glob("*")), "nothing partial"
    assert (results / "evaluate/tiny/pydoc-4x16/lorap-1to1-0.5/perplexity.json").is_file(), "others went on"
    assert not (results / "report").exists()
    before = checkout.stamps()
    checkout.run(*ON_SLURM, limit=HOUR)
    after = checkout.stamps()
    assert {name: after[name] for name in before} == before, "only what was missing is made"
    assert_whole(checkout, undisturbed)


@pytest.mark.skipif(
    os.geteuid() != 0 or not DAEMON.is_file(), reason="ends and starts the daemon of tests/slurm/cluster.sh, as root"
)
def test_a_node_that_vanishes_and_comes_back_costs_its_jobs_alone(checkout: Checkout, undisturbed: Checkout) -> None:
    run = started(checkout)
    running(checkout.folder, "compress", run)
    time.sleep(3)  # into its work
    lost = [job["id"] for job in jobs(checkout.folder, "RUNNING")]
    pull_the_plug(lost)
    while "down" not in node("%t"):
        assert not run.done(), run.result()[-3000:]
        time.sleep(1)
    subprocess.run([ROOT / "tests/slurm/cluster.sh", "start"], check=True, stdout=subprocess.DEVNULL)
    run.result()
    ended = {job["id"]: job["state"] for job in jobs(checkout.folder)}
    assert {ended[job] for job in lost} == {"COMPLETED"}, "Slurm started them anew"
    assert len(ended) == 21, "and no other"
    assert_whole(checkout, undisturbed)


def node(what: str) -> str:
    """What Slurm says of its nodes: %t their state, %G the GPUs that can be asked for."""
    asked = subprocess.run(["sinfo", "--noheader", "--format", what], capture_output=True, text=True, check=True)
    return asked.stdout


def pull_the_plug(lost: list[str]) -> None:
    """Kills the node's daemon, and every process of its jobs."""
    os.kill(int(DAEMON.read_text()), signal.SIGKILL)
    titles = tuple(f"slurmstepd: [{job}.".encode() for job in lost)
    marks = [f"SLURM_JOB_ID={job}\0".encode() for job in lost]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            title, environment = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
        except OSError:
            continue  # it has ended
        if title.startswith(titles) or any(mark in environment for mark in marks):
            with suppress(ProcessLookupError):
                os.kill(int(process.name), signal.SIGKILL)
