"""``lorap estimate``: on the grids of params.yaml, with measured constants, and what it refuses."""

import json
import re
from pathlib import Path

import pytest

from benchmarks.constants import entry, llama_7b
from lorap.artifacts.places import jobs
from lorap.errors import LorapError
from lorap.machine import named, stopwatch
from lorap.machine.named import gpu_names, named_gpu
from lorap.machine.speeds import read_machine
from lorap.settings.config import load_params
from lorap.settings.schema import Params
from lorap.workflow.forecast import forecast
from tests.command import call, faults, succeed
from tests.workflow import ROOT

PARAMS = load_params(ROOT / "params.yaml")


def test_what_is_measured_is_read_back_and_estimated_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"WIDTHS": {"cpu": (16, 32, 64)}, "FILE": 2**20, "VALUES": 2**12, "LEAST": 0.001, "ROWS": 64}
    for name, value in (small | {"PROCESS": "import json", "HARNESS": ("json",)}).items():
        monkeypatch.setattr(stopwatch, name, value)
    file = tmp_path / "machine.json"
    printed = succeed("estimate", "--measure", "--device", "cpu", "--machine", file, "--json")
    machine = read_machine(file)
    assert machine.model_dump() == json.loads(printed) == json.loads(file.read_text())
    assert [name for name, one in machine.constants.items() if "measured here" not in one.source] == ["network"]
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    shown = succeed("estimate", "--grid", "demo", "--machine", file)
    assert f"demo on {machine.name}" in shown


@pytest.mark.parametrize("grid", PARAMS.grids)
def test_a_grid_is_estimated_job_by_job(grid: str, tmp_path: Path) -> None:
    told = json.loads(succeed("estimate", "--grid", grid, "--gpu", "h100", "--results", tmp_path, "--json"))
    rules, total = told["grids"][grid]["rules"], told["grids"][grid]["total"]
    expected = [step.name for step, _ in jobs(PARAMS.grids[grid], PARAMS.methods)]
    assert {rule: of["jobs"] for rule, of in rules.items()} == {rule: expected.count(rule) for rule in expected}
    for key in ("seconds", "gpu_hours", "core_hours", "disk_bytes"):
        assert total[key] == pytest.approx(sum(of[key] for of in rules.values()))
    assert total["seconds"] == pytest.approx(sum(total["terms"].values()))
    assert total["gpu_hours"] + total["core_hours"] == pytest.approx(total["seconds"] / 3600)
    assert total["device_bytes"] == max(of["device_bytes"] for of in rules.values()) > 0
    assert all("assumed" in one["source"] for one in told["machine"]["constants"].values()), "nothing was measured"


def test_the_page_has_the_model_s_own_numbers() -> None:
    page = (ROOT / "docs" / "estimate.md").read_text()
    rows = dict(re.findall(r"^\| \**([\w -]+?)\** \|.*\| \**(-?[\d.]+)\** \|$", page, re.M))
    paper = forecast(PARAMS, "paper", named_gpu("h100"), Path("nowhere"))
    asked = ("compress", "llama-7b", "lorap", 0.5)
    job = next(job for job in paper if (job.rule, job.cell.model, job.cell.method, job.cell.sparsity) == asked)
    expected = job.terms | {"in all": job.seconds}
    assert rows == {name: f"{value:.1f}" for name, value in expected.items()}
    assert llama_7b(named_gpu("h100")).startswith(f"{job.seconds:,.0f} s: factorisation {rows['factorisation']}, ")


def test_what_gpu_check_reports_is_an_entry_of_the_file_of_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_sheet, file = named_gpu("h100"), tmp_path / "gpus.json"
    measured = by_sheet.model_copy(update={"name": "NVIDIA T4", "full_rate": False})
    added = json.loads(f"{{{entry(measured)}}}")
    assert list(added) == ["nvidia-t4"]
    sheets = json.loads(named.SHEETS.read_text())
    file.write_text(json.dumps(sheets | {"gpus": sheets["gpus"] | added}))
    monkeypatch.setattr(named, "SHEETS", file)
    found = named_gpu("nvidia-t4")
    assert (found.name, found.full_rate, gpu_names()[-1]) == ("NVIDIA T4", False, "nvidia-t4")
    host = named.assumed_host()
    for name, constant in found.constants.items():
        assert ("measured by make gpu-check" in constant.source) == (name not in host), name
        assert constant.at(4096) == pytest.approx(by_sheet.constants[name].at(4096), rel=1e-3)


def broken(tmp_path: Path, **changes: object) -> Path:
    raw = named_gpu("a100").model_dump() | changes
    file = tmp_path / "broken.json"
    file.write_text(json.dumps(raw))
    return file


def test_what_is_unknown_or_damaged_is_named_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def told(*options: object) -> str:
        (line,) = faults(call("estimate", "--params", ROOT / "params.yaml", *options))
        return line

    assert told("--gpu", "abacus") == f"--gpu: unknown name 'abacus', expected one of {', '.join(sorted(gpu_names()))}"
    assert told("--gpu", "h100", "--grid", "huge").startswith("grid: unknown name 'huge'")
    assert told("--gpu", "h100", "--cores", 0) == "--cores: got 0, expected at least 1"
    assert told() == "estimate: for which machine? Give --gpu NAME, or measure this one with --measure first"
    assert told("--machine", "none.json") == "none.json: no such file"
    assert "constants: got {}; 'multiply float16' is missing" in told("--machine", broken(tmp_path, constants={}))
    assert "cores: got 0" in told("--machine", broken(tmp_path, cores=0))
    assert told("--measure", "--gpu", "h100") == "--measure: measures this machine alone; leave --gpu and --grid out"


def test_a_model_that_nobody_has_fetched_is_named_with_the_command_that_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = PARAMS.model_dump()
    raw["models"]["own"] = {"source": "hub", "repo": "me/own"}
    raw["grids"]["demo"]["models"] = ["own"]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LorapError, match=r"own: its sizes are unknown .* 'lorap fetch own --out models/own'"):
        list(forecast(Params.model_validate(raw), "demo", named_gpu("h100"), Path("results")))
    config = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    (tmp_path / "models/own").mkdir(parents=True)
    (tmp_path / "models/own/config.json").write_text(json.dumps(config | {"vocab_size": 300}))
    assert list(forecast(Params.model_validate(raw), "demo", named_gpu("h100"), Path("results")))
