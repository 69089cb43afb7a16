"""Two runs on one machine make the same bytes, but for measured time, memory and throughput."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lorap.artifacts import catalogue
from lorap.artifacts.names import META, TIMING
from lorap.report.build import build_report
from tests.results_folder import MODEL, fill, small_spec
from tests.workflow import Checkout, make_checkout

PAGE, PROVENANCE = f"report/{catalogue.PAGE}", f"report/{catalogue.PROVENANCE}"
REPORT_META = f"report/{META}"
MEASURED = {  # of a report; nothing of these files need be the same
    *(f"report/{name}.{kind}" for name in catalogue.MEASURED_TABLES for kind in ("csv", "md", "tex")),
    "report/figures/pareto_latency.png",
    "report/figures/pareto_latency.pdf",
    "report/provenance_timing.json",
}
THREADS = "threads"  # that the times were measured with
COST = {"peak_memory_bytes", "prefill_seconds", "decode_tokens_per_second", "batches"}
ON_THE_PAGE = (
    *(rf'<section id="table-{name}">.*?</section>' for name in catalogue.MEASURED_TABLES),
    r'<figure id="figure-pareto_latency">.*?</figure>',
    r"reads a prompt [0-9.]+ times as fast",
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
        return without_threads({"": {name: value for name, value in cost.items() if name not in COST}})
    if file == REPORT_META:
        return of_report(json.loads(data))
    if file.endswith(META) or re.fullmatch(r"models/[^/]+\.json", file):
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


def of_report(meta: dict[str, Any]) -> dict[str, Any]:
    """The meta of a report without what follows from measured times."""
    del meta["wall_seconds"], meta["id"]
    meta["inputs"] = {path: id for path, id in meta["inputs"].items() if not path.endswith("/cost.json")}
    meta["sha256"] = {
        file: sha256 for file, sha256 in meta["sha256"].items() if file not in {*MEASURED, PAGE, PROVENANCE}
    }
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


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a grid and their report, of made-up measurements."""
    spec = small_spec()
    folder = fill(spec, tmp_path_factory.mktemp("report"))
    build_report(spec, folder)
    return folder


@pytest.mark.system
def test_a_report_keeps_what_was_measured_anew_in_files_of_its_own(report: Path, tmp_path: Path) -> None:
    spec = small_spec()
    again = fill(spec, tmp_path)
    for file in again.rglob("*.json"):
        text = file.read_text().replace('"wall_seconds": 12.345', '"wall_seconds": 1098.7')
        text = text.replace('"prefill_seconds": 0.5', '"prefill_seconds": 0.625')
        file.write_text(text.replace('"seconds_per_step": 1.5', '"seconds_per_step": 2.5'))
    build_report(spec, again)
    first, second = contents(report), contents(again)
    assert differing(first, second) == []
    varying = {file for file in first if "/" not in file or file.startswith("report/") if first[file] != second[file]}
    unranked = {file for file in MEASURED if "/unranked." in file}  # empty: these methods are all of one budget
    assert varying == {*MEASURED, PAGE, REPORT_META} - unranked


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("report/main.csv", b"this run", b"that run"),
        (PAGE, b"Results of the grid", b"A page of the grid"),
        (PAGE, b"at commit c0ffee", b"at commit decafe"),
        (PROVENANCE, b'"seed": 7', b'"seed": 8'),
        (f"evaluate/{MODEL}/dense/cost.json", b'"macs": 6', b'"macs": 7'),
        (f"evaluate/{MODEL}/dense/cost.json.meta.json", b"x86_64", b"arm64"),
        (f"evaluate/{MODEL}/dense/perplexity.json.meta.json", b'"id": "1d"', b'"id": "2d"'),
        (f"models/{MODEL}.json", b'"revision": "4782ad2"', b'"revision": "5782ad2"'),
    ],
)
def test_whatever_else_differs_is_found(report: Path, file: str, old: bytes, new: bytes) -> None:
    found = contents(report)
    assert old in found[file]
    assert differing(found, found | {file: found[file].replace(old, new)}) == [file]
