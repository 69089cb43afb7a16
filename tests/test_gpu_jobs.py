"""Which commands take a GPU of their own, and what the workflow's jobs do on several."""

import re
from pathlib import Path

import pytest
import torch

from tests.command import launch
from tests.workflow import LIMIT, make_checkout


@pytest.mark.system
def test_only_a_job_of_the_workflow_takes_a_device_and_only_where_it_may_choose(tmp_path: Path) -> None:
    spectra = ("evaluate", "spectra", "--model", "m", "--calibration", "c", "--out", "o")
    variables = {"TMPDIR": str(tmp_path), "CUDA_VISIBLE_DEVICES": "0", "LORAP_DEVICE": ""}
    for options, taken in (((), 0), (("--spec", "{}", "--device", "cpu"), 0), (("--spec", "{}"), 1)):
        done = launch(tmp_path, *spectra, *options, **variables)
        assert done.code == 1, done
        assert done.err.count("lorap: has GPU 0\n") == taken


def at_once(printed: str) -> set[frozenset[str]]:
    """The pairs of jobs, named by their logs, of which one started before the other was over, by snakemake's record."""
    running: dict[str, str] = {}
    pairs = set()
    begins, ends = r"^    log: (\S+)\n    jobid: (\d+)", r"^Finished jobid: (\d+)"
    fails = r"^Error in rule .*\n(?:    .*\n)*?    jobid: (\d+)"
    for log, started, *ended in re.findall(f"{begins}|{ends}|{fails}", printed, re.M):
        if any(ended):
            running.pop("".join(ended), None)
        else:
            pairs |= {frozenset((log, other)) for other in running.values()}
            running[started] = log
    return pairs


@pytest.mark.slow
def test_jobs_that_run_at_once_in_the_workflow_have_devices_of_their_own(tmp_path: Path, tiny_folder: Path) -> None:
    checkout = make_checkout(tmp_path / "checkout", tiny_folder)
    (tmp_path / "locks").mkdir()
    options = ("--cores", "2", "--resources", "gpu=2", "--quiet", "host", "--keep-going")
    variables = {"CUDA_VISIBLE_DEVICES": "0,1", "TMPDIR": str(tmp_path / "locks"), "LORAP_DEVICE": ""}
    targets = ("stage_compress", "results/demo/evaluate/tiny/spectra.json")
    works = torch.cuda.device_count() > 1  # where it does not, each job says so, once it has its device
    printed = checkout.run("snakemake", *targets, *options, ok=works, limit=LIMIT, **variables)
    logs = {str(log.relative_to(checkout.folder)): log.read_text() for log in checkout.folder.glob("logs/**/*.log")}
    device = {log: had for log, text in logs.items() if (had := re.findall(r"lorap: has GPU (\d)$", text, re.M))}
    assert {Path(log).stem for log in device} == {"lorap-0.5", "lorap-1to1-0.5", "spectra"}
    assert sorted({tuple(had) for had in device.values()}) == [("0",), ("1",)]
    pairs = at_once(printed)
    assert pairs, "two jobs should have run side by side"
    assert all(device[one] != device[other] for one, other in map(tuple, pairs))
