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


@pytest.mark.system
@pytest.mark.parametrize(("devices", "share"), [("0,1,2,3", 4), ("", 8)])
def test_as_many_jobs_run_at_once_as_there_are_gpus_and_only_timing_runs_alone(
    tmp_path: Path, tiny_folder: Path, devices: str, share: int
) -> None:
    checkout = make_checkout(tmp_path / "checkout", tiny_folder)
    options = ("--cores", "16", "--resources", "gpu=4", "--quiet", "host")
    planned = checkout.run("snakemake", "-n", *options, CUDA_VISIBLE_DEVICES=devices)
    jobs = [block.partition("\n\n")[0] for block in planned.split("\nrule ")[1:]]
    threads = {job.partition(":")[0]: int(*re.findall(r"threads: (\d+)", job) or "1") for job in jobs}
    kinds = ("dense", "compressed", "adapter", "redecomposed")
    alone = dict.fromkeys([f"cost_{kind}" for kind in kinds], 16)
    computing = ("compress", "tune", "redecompose", "spectra", *(f"evaluate_{kind}" for kind in kinds))
    others = dict.fromkeys(("fetch", "calibrate", "report", "all"), 1)
    assert threads == alone | dict.fromkeys(computing, share) | others
    on_gpu = {job.partition(":")[0] for job in jobs if "gpu=1" in job}
    assert on_gpu == ({*alone, *computing} if devices else set())


@pytest.mark.slow
def test_jobs_that_run_at_once_in_the_workflow_have_devices_of_their_own(tmp_path: Path, tiny_folder: Path) -> None:
    checkout = make_checkout(tmp_path / "checkout", tiny_folder)
    (tmp_path / "locks").mkdir()
    options = ("--cores", "2", "--resources", "gpu=2", "--quiet", "host", "--keep-going")
    variables = {"CUDA_VISIBLE_DEVICES": "0,1", "TMPDIR": str(tmp_path / "locks"), "LORAP_DEVICE": ""}
    targets = ("stage_compress", "results/demo/evaluate/tiny/spectra.json")
    works = torch.cuda.device_count() > 1  # where it does not, each job says so, once it has its device
    checkout.run("snakemake", *targets, *options, ok=works, limit=LIMIT, **variables)
    logs = {str(log.relative_to(checkout.folder)): log.read_text() for log in checkout.folder.glob("logs/**/*.log")}
    device = {log: had for log, text in logs.items() if (had := re.findall(r"lorap: has GPU (\d)$", text, re.M))}
    assert {Path(log).stem for log in device} == {"lorap-0.5", "lorap-1to1-0.5", "spectra"}
    used = {tuple(had) for had in device.values()}
    assert used == {("0",), ("1",)}, "one each, and the second is taken only while another job holds the first"
