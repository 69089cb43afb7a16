"""The workflow as a user runs it: real snakemake and real dvc on a tiny model."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from lorap.config import load_params
from lorap.grid import all_cells, calibrations, compressed_cells
from tests.workflow import ROOT, Checkout, make_checkout

NOTHING = "Nothing to be done"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Checkout:
    """A checkout in which `snakemake` has run once."""
    checkout = make_checkout(tmp_path_factory.mktemp("made") / "checkout", tiny_folder)
    checkout.commit()
    checkout.run("snakemake")
    return checkout


@pytest.fixture
def copy_of_made(made: Checkout, tmp_path: Path) -> Checkout:
    """The same, free to be changed; times of files are kept."""
    return Checkout(Path(shutil.copytree(made.folder, tmp_path / "checkout", symlinks=True)))


def test_snakemake_makes_every_table_figure_and_meta(made: Checkout) -> None:
    report = made.folder / "results/demo/report"
    with (report / "main.csv").open() as file:
        rows = list(csv.DictReader(file))
    own = {(row["method"], row["sparsity"]): float(row["pydoc"]) for row in rows if row["source"] == "this run"}
    assert set(own) == {("dense", "0"), ("lorap", "0.5"), ("lorap-1to1", "0.5")}
    result = made.folder / "results/demo/evaluate/tiny/pydoc-4x16/lorap-0.5/perplexity.json"
    assert own["lorap", "0.5"] == pytest.approx(json.loads(result.read_text())["pydoc"]["perplexity"], rel=1e-5)
    for figure in ("perplexity", "allocation", "pareto_parameters", "pareto_latency", "error_by_layer", "spectra"):
        assert (report / "figures" / f"{figure}.png").read_bytes().startswith(b"\x89PNG")
        assert (report / "figures" / f"{figure}.pdf").read_bytes().startswith(b"%PDF")
    meta = json.loads((made.folder / "results/demo/compress/tiny/pydoc-4x16/lorap-0.5/meta.json").read_text())
    manifest = json.loads((made.folder / "results/demo/models/tiny.json").read_text())
    assert meta["inputs"]["model"] == manifest["id"]


def test_published_rows_stand_beside_ours_with_their_source(made: Checkout) -> None:
    with (made.folder / "results/demo/report/main.csv").open() as file:
        rows = list(csv.DictReader(file))
    lorap = [row for row in rows if row["method"] == "LoRAP" and row["sparsity"] == "0.2"]
    assert [(row["model"], row["wikitext2"], row["ptb"], row["pydoc"]) for row in lorap] == [
        ("LLaMA-7B", "15.69", "25.86", "")
    ]
    assert "LoRAP" in lorap[0]["source"]


def test_a_second_snakemake_has_nothing_to_do(made: Checkout) -> None:
    before = made.stamps()
    assert NOTHING in made.run("snakemake")
    assert made.stamps() == before


def test_dvc_after_snakemake_recomputes_nothing_and_pushes_to_a_remote(copy_of_made: Checkout, tmp_path: Path) -> None:
    before = copy_of_made.stamps()
    copy_of_made.run("dvc", "repro")
    assert copy_of_made.stamps() == before
    assert "up to date" in copy_of_made.run("dvc", "repro")
    assert NOTHING in copy_of_made.run("snakemake")
    assert "lorap-0.5" in copy_of_made.run("dvc", "metrics", "show", "--json")
    copy_of_made.run("dvc", "remote", "add", "--default", "local", str(tmp_path / "remote"))
    copy_of_made.commit()
    copy_of_made.run("dvc", "push")
    copy_of_made.run("git", "clone", "--quiet", ".", str(tmp_path / "clone"))
    clone = Checkout(tmp_path / "clone")
    clone.run("dvc", "pull")
    wanted = {name: (copy_of_made.folder / name).read_bytes() for name in before}
    assert {name: (clone.folder / name).read_bytes() for name in clone.stamps()} == wanted
    assert not (clone.folder / "models").exists(), "base models stay out of the cache"


def test_snakemake_after_dvc_has_nothing_to_do(tmp_path: Path, tiny_folder: Path) -> None:
    checkout = make_checkout(tmp_path / "checkout", tiny_folder)
    checkout.commit()
    checkout.run("dvc", "repro")
    before = checkout.stamps()
    assert NOTHING in checkout.run("snakemake")
    assert checkout.stamps() == before


def test_a_sparsity_comes_and_goes_with_its_rows_only(copy_of_made: Checkout) -> None:
    before, params = copy_of_made.stamps(), copy_of_made.params()
    params["grids"]["demo"]["cells"][0]["sparsities"] = [0.5, 0.2]
    copy_of_made.write_params(params)
    copy_of_made.run("snakemake")
    after = copy_of_made.stamps()
    untouched = [name for name in before if "/compress/" in name or "/evaluate/" in name or "/calibrate/" in name]
    assert {name: after[name] for name in untouched} == {name: before[name] for name in untouched}
    assert sparsities_of(copy_of_made, "lorap") == ["0.2", "0.5"]
    params["grids"]["demo"]["cells"][0]["sparsities"] = [0.2]
    copy_of_made.write_params(params)
    copy_of_made.run("snakemake")
    assert sparsities_of(copy_of_made, "lorap") == ["0.2"]


def sparsities_of(checkout: Checkout, method: str) -> list[str]:
    """The sparsities that the main table shows of a method."""
    with (checkout.folder / "results/demo/report/main.csv").open() as file:
        return [row["sparsity"] for row in csv.DictReader(file) if row["method"] == method]


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
    cells, models = len(compressed_cells(grid)), len(grid.models)
    assert jobs["compress"] == cells == len(all_cells(grid)) - models
    assert jobs["evaluate"] == cells
    assert jobs["calibrate"] == len(list(calibrations(grid)))
    assert jobs["fetch"] == jobs["evaluate_dense"] == jobs["spectra"] == models
    assert jobs["report"] == 1


def test_one_html_file_shows_tables_and_figures(made: Checkout) -> None:
    made.run("snakemake", "--report", "report.html")
    page = (made.folder / "report.html").read_text()
    assert "main.csv" in page
    assert "spectra.png" in page
