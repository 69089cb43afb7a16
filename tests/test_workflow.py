"""The workflow as a user runs it: real snakemake and real dvc on a tiny model."""

import csv
import json

import pytest

from lorap.artifacts import catalogue
from lorap.artifacts.grid import all_cells, calibrations, compressed_cells, recovered_cells, tuned_cells
from lorap.settings.config import load_params
from tests.workflow import ROOT, Checkout

pytestmark = pytest.mark.system


def test_snakemake_makes_every_table_figure_and_meta(made: Checkout) -> None:
    report = made.folder / "results/demo/report"
    with (report / "main.csv").open() as file:
        own = {row["cell"]: row for row in csv.DictReader(file) if row["source"] == "this run"}
    lorap = "tiny/pydoc-4x16/lorap-0.5"
    recovered = [f"{lorap}/tiny/{kept_as}" for kept_as in ("adapter", "exact", "truncated")]
    assert set(own) == {"tiny/dense", "tiny/pydoc-4x16/lorap-1to1-0.5", lorap, *recovered}
    for cell in (lorap, *recovered):
        folder = made.folder / "results/demo/evaluate" / cell
        perplexity = json.loads((folder / "perplexity.json").read_text())["pydoc"]["perplexity"]
        accuracy = json.loads((folder / "zeroshot.json").read_text())["tasks"]["pydoc"]["acc"]
        assert float(own[cell]["pydoc"]) == pytest.approx(perplexity, rel=1e-5)
        assert float(own[cell]["pydoc acc"]) == pytest.approx(100 * accuracy)
    for figure in catalogue.FIGURES:
        assert (report / "figures" / f"{figure}.png").read_bytes().startswith(b"\x89PNG")
        assert (report / "figures" / f"{figure}.pdf").read_bytes().startswith(b"%PDF")
    meta = json.loads((made.folder / "results/demo/compress/tiny/pydoc-4x16/lorap-0.5/meta.json").read_text())
    manifest = json.loads((made.folder / "results/demo/models/tiny.json").read_text())
    assert meta["inputs"]["model"] == manifest["id"]
    assert "<table" in (report / "index.html").read_text()


def test_the_chain_of_recovery_is_exact(made: Checkout) -> None:
    results = made.folder / "results/demo/evaluate/tiny/pydoc-4x16/lorap-0.5/tiny"
    adapter, exact = (
        json.loads((results / kept_as / "perplexity.json").read_text())["pydoc"]["perplexity"]
        for kept_as in ("adapter", "exact")
    )
    assert exact == pytest.approx(adapter, rel=1e-5)
    assert json.loads((results.parent / "zeroshot.json").read_text())["tasks"]["pydoc"]["documents"] == 4
    assert json.loads((results.parents[1] / "lorap-1to1-0.5/zeroshot.json").read_text()) == {"tasks": {}}


def test_published_rows_stand_beside_ours_with_their_source(made: Checkout) -> None:
    with (made.folder / "results/demo/report/main.csv").open() as file:
        rows = list(csv.DictReader(file))
    lorap = [row for row in rows if (row["method"], row["sparsity"], row["tuned"]) == ("LoRAP", "0.2", "no")]
    assert [(row["model"], row["wikitext2"], row["ptb"], row["pydoc"]) for row in lorap] == [
        ("LLaMA-7B", "15.69", "25.86", "")
    ]
    assert "LoRAP" in lorap[0]["source"]


def test_verify_finds_every_artifact_as_it_should_be(made: Checkout) -> None:
    printed = made.run("lorap", "verify", "--bytes")
    assert printed.strip() == "demo: 27 of 27 artifacts are what params.yaml says"
    assert made.run("lorap", "prune") == ""


def test_faulty_params_stop_the_workflow_with_a_line_each(copy_of_made: Checkout) -> None:
    params = copy_of_made.params()
    params["compress"]["batch"] = 0
    params["compres"] = {}
    copy_of_made.write_params(params)
    printed = copy_of_made.run("snakemake", "-n", ok=False)
    assert "params.yaml: compress.batch: got 0" in printed
    assert "params.yaml: compres: unknown key" in printed
    assert "Traceback" not in printed


def test_an_unknown_grid_or_config_key_is_refused(made: Checkout) -> None:
    assert "unknown name 'dmeo'" in made.run("snakemake", "-n", "--config", "active=[dmeo]", ok=False)
    assert "unknown key 'grid'" in made.run("snakemake", "-n", "--config", "grid=demo", ok=False)


def test_the_paper_grid_is_planned_to_the_last_job_without_network_or_gpu() -> None:
    grid = load_params().grids["paper"]
    printed = Checkout(ROOT).run("snakemake", "-n", "--config", "active=[paper]", "--forceall")
    jobs = {
        words[0]: int(words[1])
        for line in printed.splitlines()
        if len(words := line.split()) == 2 and words[1].isdigit()
    }
    cells, recovered, models = len(compressed_cells(grid)), recovered_cells(grid), len(grid.models)
    assert len(all_cells(grid)) == models + cells + len(recovered)
    assert jobs["compress"] == jobs["evaluate_compressed"] == cells
    alike = {(cell.model, cell.method, cell.sparsity) for cell in compressed_cells(grid)}
    assert jobs["cost_compressed"] == len(alike), "of those that differ by their calibration alone one is timed"
    assert jobs["tune"] == len(tuned_cells(grid)) > 0
    adapters = sum(cell.kept_as == "adapter" for cell in recovered)
    assert jobs["evaluate_adapter"] == jobs["cost_adapter"] == adapters
    joined = len(recovered) - adapters
    assert jobs["redecompose"] == jobs["evaluate_redecomposed"] == jobs["cost_redecomposed"] == joined
    assert jobs["calibrate"] == len(list(calibrations(grid)))
    assert jobs["fetch"] == jobs["evaluate_dense"] == jobs["cost_dense"] == jobs["spectra"] == models
    assert jobs["report"] == 1


def test_lint_asks_for_nothing_but_a_conda_environment(made: Checkout) -> None:
    """The environment is pip's, pinned in constraints.txt; whatever else lint names is a fault."""
    printed = made.run("snakemake", "--lint", ok=False)
    assert {line.strip() for line in printed.splitlines() if line.startswith("    * ")} == {
        "* Specify a conda environment or container for each rule.:"
    }


def test_the_graph_of_rules_is_drawn(made: Checkout) -> None:
    drawn = made.run("snakemake", "--rulegraph")
    rules = ("fetch", "calibrate", "compress", "tune", "redecompose", "evaluate_adapter", "spectra", "report")
    assert [rule for rule in rules if f'label = "{rule}"' not in drawn] == []


def test_one_html_file_shows_tables_and_figures(made: Checkout) -> None:
    made.run("snakemake", "--report", "report.html")
    page = (made.folder / "report.html").read_text()
    assert "main.csv" in page
    assert "spectra.png" in page
