"""Two runs on one machine make the same bytes, but for measured time, memory and throughput."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from lorap.files import META, TIMING
from lorap.report import catalogue
from lorap.report.build import build_report
from tests.results_folder import fill, small_spec
from tests.workflow import Checkout, make_checkout

PAGE, PROVENANCE = f"report/{catalogue.PAGE}", f"report/{catalogue.PROVENANCE}"
MEASURED = {  # of a report; nothing of these files need be the same
    *(f"report/{name}.{kind}" for name in ("timing", "tuning_cost") for kind in ("csv", "md", "tex")),
    "report/figures/pareto_latency.png",
    "report/figures/pareto_latency.pdf",
    "report/provenance_timing.json",
}
THREADS = "threads"  # that the times were measured with
COST = {"peak_memory_bytes", "prefill_seconds", "decode_tokens_per_second", "batches"}
ON_THE_PAGE = (
    *(rf'<section id="table-{name}">.*?</section>' for name in catalogue.MEASURED_TABLES),
    r'<img src="[^"]*" alt="[^"]*differs from run to run">',
    r", in [0-9,.]+ s(?=\")",
    r", threads [0-9]+",
)


def repeated(file: str, data: bytes) -> Any:
    """What of a file below the folder of a grid a second run must repeat."""
    if file in MEASURED or Path(file).name == TIMING:
        return None
    if file == PAGE:
        return re.sub("|".join(ON_THE_PAGE), "", data.decode(), flags=re.DOTALL)
    if file == PROVENANCE:
        return without_threads(json.loads(data))
    if file.endswith("/cost.json"):
        cost = json.loads(data)
        assert cost.keys() >= COST
        return without_threads({"": {name: value for name, value in cost.items() if name not in COST}})
    if file.endswith(META) or file.startswith("models/"):
        return of_meta(json.loads(data), file.endswith(f"/cost.json.{META}"))
    return data


def of_meta(meta: dict[str, Any], of_times: bool) -> dict[str, Any]:
    """A meta without its wall time, and without hashes of files that hold times."""
    del meta["wall_seconds"]
    if of_times:
        del meta["id"], meta["sha256"]
    elif isinstance(meta["sha256"], dict):
        meta["sha256"].pop(TIMING, None)
    return meta


def without_threads(records: dict[str, Any]) -> dict[str, Any]:
    for record in records.values():
        record.get("protocol", {}).pop(THREADS, None)
    return records


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def differing(first: dict[str, bytes], second: dict[str, bytes]) -> list[str]:
    """Files that are in one folder only, or that differ in what must be the same."""
    common = first.keys() & second.keys()
    return sorted(
        [*(first.keys() ^ second.keys()), *(f for f in common if repeated(f, first[f]) != repeated(f, second[f]))]
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> list[Checkout]:
    """The workflow run in two folders, in circumstances that should not matter."""
    circumstances = [
        ("one", "1", {"PYTHONHASHSEED": "1", "TZ": "UTC", "LC_ALL": "C"}),
        ("quite/another folder", "2", {"PYTHONHASHSEED": "2", "TZ": "Pacific/Kiritimati", "LC_ALL": "C.UTF-8"}),
    ]
    made = []
    for name, cores, variables in circumstances:
        checkout = make_checkout(tmp_path_factory.mktemp("reproducible") / name, tiny_folder)
        with pytest.MonkeyPatch.context() as patch:
            for variable, value in variables.items():
                patch.setenv(variable, value)
            checkout.run("snakemake", "--cores", cores)
        made.append(checkout)
    return made


@pytest.mark.slow
def test_two_runs_of_the_workflow_make_the_same_bytes(runs: list[Checkout]) -> None:
    first, second = (contents(run.folder / "results/demo") for run in runs)
    assert len([file for file in first if file.endswith(".safetensors")]) == 6
    assert differing(first, second) == []
    assert {file for file in MEASURED if file not in first} == set()
    assert first["report/timing.csv"] != second["report/timing.csv"], "the two were not measured anew"


@pytest.mark.slow
def test_the_difference_is_found_wherever_it_is(runs: list[Checkout], tmp_path: Path) -> None:
    folder = runs[0].folder / "results/demo"
    before = contents(folder)
    changed = Path(shutil.copytree(folder, tmp_path / "demo"))
    compared = [file for file, data in before.items() if data and file not in MEASURED and Path(file).name != TIMING]
    for file in compared:
        edited = before[file].replace(b"tiny", b"tinx") if b"tiny" in before[file] else before[file][:-1] + b"?"
        if file.endswith("/cost.json"):
            edited = before[file].replace(b'"macs": ', b'"macs": 1')
        (changed / file).write_bytes(edited)
    assert differing(before, contents(changed)) == sorted(compared)


def test_a_report_keeps_what_was_measured_anew_in_files_of_its_own(tmp_path: Path) -> None:
    spec = small_spec()
    folders = [fill(spec, tmp_path / name) for name in ("first", "again")]
    for file in folders[1].rglob("*.json"):
        text = file.read_text().replace('"wall_seconds": 12.345', '"wall_seconds": 1098.7')
        text = text.replace('"prefill_seconds": 0.5', '"prefill_seconds": 0.625').replace(
            'per_step": 1.5', 'per_step": 2.5'
        )
        file.write_text(text)
    for folder in folders:
        build_report(spec, folder)
    first, again = ({f: d for f, d in contents(folder).items() if "/" not in f or "report/" in f} for folder in folders)
    assert differing(first, again) == []
    varying = {file for file in first if first[file] != again[file]}
    assert varying == {*MEASURED, PAGE}
