"""Tables from result files: every number in its cell, nothing invented, nothing stale."""

import json
import statistics
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from lorap.artifacts import catalogue
from lorap.artifacts.grid import Cell, all_cells, compressed_cells, recovered_cells
from lorap.artifacts.specs import ReportSpec
from lorap.errors import LorapError
from lorap.report.build import build_report
from lorap.report.read.results import read_results
from lorap.report.read.scores import AVERAGE, SEVEN
from lorap.report.tables.all_tables import make_tables
from tests.results_folder import CALIBRATION, MODEL, OWN_TASK, accuracy, fill, parameters, perplexity, small_spec

pytestmark = pytest.mark.thorough

DENSE = Cell(MODEL)
LORAP = Cell(MODEL, CALIBRATION, "lorap", 0.5)
TUNED = replace(LORAP, tuning="alpaca", kept_as="adapter")


@pytest.fixture
def spec() -> ReportSpec:
    return small_spec()


@pytest.fixture
def folder(spec: ReportSpec, tmp_path: Path) -> Path:
    return fill(spec, tmp_path)


def table(spec: ReportSpec, folder: Path, name: str) -> pd.DataFrame:
    return make_tables(spec, read_results(spec, folder), folder)[name].frame


def row_of(frame: pd.DataFrame, cell: Cell) -> pd.Series:
    found = frame[frame.cell == cell.path]
    assert len(found) == 1
    return found.iloc[0]


def drop_task(folder: Path, cell: Cell, task: str) -> None:
    file = folder / "evaluate" / cell.path / "zeroshot.json"
    content = json.loads(file.read_text())
    del content["tasks"][task]
    file.write_text(json.dumps(content))


def test_every_number_of_the_main_table_is_of_its_cell_and_its_protocol(spec: ReportSpec, folder: Path) -> None:
    main = table(spec, folder, "main")
    columns = {"wikitext2": "wikitext2", "ptb": "ptb-400", "wikitext2-2048": "wikitext2-2048"}
    cells = [cell for cell in all_cells(spec.grid) if cell.calibration in (None, CALIBRATION)]
    assert set(main.cell.dropna()) == {cell.path for cell in cells}
    for cell in cells:
        row = row_of(main, cell)
        for column, protocol in columns.items():
            assert row[column] == perplexity(spec, cell, protocol), cell
        if cell.method != "lorap-1to1":
            assert row[f"{OWN_TASK} acc"] == pytest.approx(100 * accuracy(spec, cell, OWN_TASK, "acc"))


def test_accuracies_follow_the_published_convention_in_percent(spec: ReportSpec, folder: Path) -> None:
    row = row_of(table(spec, folder, "main"), TUNED)
    for task, metric in SEVEN.items():
        assert row[task] == pytest.approx(100 * accuracy(spec, TUNED, task, metric)), task
    assert {task for task, metric in SEVEN.items() if metric == "acc_norm"} == {
        "hellaswag",
        "arc_challenge",
        "openbookqa",
    }
    assert row[AVERAGE] == pytest.approx(statistics.fmean(row[task] for task in SEVEN))


def test_there_is_an_average_only_of_all_seven(spec: ReportSpec, folder: Path) -> None:
    drop_task(folder, TUNED, "piqa")
    drop_task(folder, LORAP, OWN_TASK)
    main = table(spec, folder, "main")
    assert pd.isna(row_of(main, TUNED)[AVERAGE])
    assert pd.notna(row_of(main, TUNED)["boolq"])
    assert pd.notna(row_of(main, LORAP)[AVERAGE])


def test_a_cell_that_was_not_run_is_empty_not_guessed(spec: ReportSpec, folder: Path) -> None:
    for file in ("perplexity", "cost", "zeroshot"):
        (folder / "evaluate" / TUNED.path / f"{file}.json").unlink()
    for name in ("main", "cost", "timing"):
        row = row_of(table(spec, folder, name), TUNED)
        assert row.drop(["sparsity", "tuned", "model", "method", "source", "cell"]).isna().all(), name
    tuning = table(spec, folder, "tuning").set_index(["tuning", "sparsity"]).xs(("alpaca", 0.5))
    assert tuning[["wikitext2, adapter", "wikitext2, exact minus adapter"]].isna().all()
    assert tuning["wikitext2, not tuned"] == perplexity(spec, LORAP, "wikitext2")


def test_cells_that_left_the_grid_leave_the_tables(spec: ReportSpec, folder: Path) -> None:
    smaller = small_spec(cells=[{"methods": ["svd"], "sparsities": [0.2]}])
    assert set(read_results(smaller, folder).cell) == {cell.path for cell in all_cells(smaller.grid)}
    assert len(table(smaller, folder, "main").cell.dropna()) == 2
    assert table(smaller, folder, "tuning").empty


def test_an_ablation_holds_only_untuned_cells_that_differ_in_what_it_varies(spec: ReportSpec, folder: Path) -> None:
    allocation = table(spec, folder, "allocation")
    assert set(allocation[allocation.sparsity == 0.5].allocation) == {1, 3}
    assert set(allocation.cell) <= {cell.path for cell in compressed_cells(spec.grid)}
    assert table(spec, folder, "ffn").empty
    assert len(table(spec, folder, "calibration")) == 3


def test_a_treatment_that_lacks_an_option_is_compared_with_the_first_that_has_it(tmp_path: Path) -> None:
    methods = ["lorap", "lorap-keep-none", "lorap-decompose", "ffn-only"]
    spec = small_spec(cells=[{"methods": methods, "sparsities": [0.5]}])
    fill(spec, tmp_path)
    ffn = table(spec, tmp_path, "ffn").set_index("ffn")
    assert sorted(ffn.cell.str.rpartition("/")[2]) == ["lorap-0.5", "lorap-decompose-0.5"]
    assert ffn.keep_least.isna()["decompose"], "its treatment has no such setting"
    assert ffn.keep_least["prune"] == 0.01
    assert list(table(spec, tmp_path, "keep_least").keep_least) == [0, 0.01]
    allocation = table(spec, tmp_path, "allocation").set_index("attention").allocation
    assert (allocation["awsvd"], pd.isna(allocation["none"])) == (3, True)


def test_seeds_are_mean_and_deviation_over_calibrations_alike_but_for_the_seed(spec: ReportSpec, folder: Path) -> None:
    seeds = table(spec, folder, "seeds")
    values = [
        perplexity(spec, cell, "wikitext2")
        for cell in compressed_cells(spec.grid)
        if (cell.method, cell.sparsity) == ("lorap", 0.5)
    ]
    assert len(seeds) == 1
    row = seeds.iloc[0]
    assert (row.method, row.sparsity, row.corpus, row.nsamples) == ("lorap", 0.5, "bookcorpus", 128)
    found = (row["wikitext2 mean"], row["wikitext2 deviation"], row["wikitext2 n"])
    assert found == pytest.approx((statistics.mean(values), statistics.stdev(values), 3))


def test_a_tuning_is_shown_in_all_its_forms_side_by_side(spec: ReportSpec, folder: Path) -> None:
    tuning = table(spec, folder, "tuning").set_index(["tuning", "sparsity"])
    row = tuning.xs(("alpaca", 0.5))
    found = {form: perplexity(spec, replace(TUNED, kept_as=form), "wikitext2") for form in ("adapter", "exact")}
    assert {form: row[f"wikitext2, {form}"] for form in found} == found
    assert row["wikitext2, exact minus adapter"] == found["exact"] - found["adapter"]
    assert (row.form, tuning.xs(("alpaca-factored", 0.5)).form) == ("dense", "factored")
    times = table(spec, folder, "tuning_cost").set_index(["tuning", "sparsity"]).xs(("alpaca", 0.5))
    assert (times.steps, times["seconds a step"], times["memory MiB"]) == (8, 1.5, 3)


def test_redecomposition_shows_parameters_after_the_model_that_was_tuned(spec: ReportSpec, folder: Path) -> None:
    rows = table(spec, folder, "redecompose")
    rows = rows[(rows.tuning == "alpaca") & (rows.sparsity == 0.5)].set_index("kept_as")
    assert list(rows.index) == ["not tuned", "adapter", "exact", "truncated"]
    for form in ("adapter", "exact", "truncated"):
        cell = replace(TUNED, kept_as=form)
        assert rows.loc[form, "parameters"] == parameters(spec, cell)


@pytest.mark.system
def test_a_report_is_written_whole_and_the_same_twice(spec: ReportSpec, folder: Path) -> None:
    build_report(spec, folder)
    files = [folder / "report" / name for name in catalogue.report_files()]
    first = [file.read_bytes() for file in files]
    build_report(spec, folder)
    assert [file.read_bytes() for file in files] == first
    assert not list(folder.glob(".*partial*"))
    for name, made in make_tables(spec, read_results(spec, folder), folder).items():
        read = pd.read_csv(folder / "report" / f"{name}.csv")
        pd.testing.assert_frame_equal(read, made.frame, check_dtype=False, rtol=1e-5)
    assert f"{parameters(spec, TUNED)}" in (folder / "report/cost.csv").read_text()


def test_metrics_name_cells_by_their_paths_tuned_ones_too(spec: ReportSpec, folder: Path) -> None:
    build_report(spec, folder)
    metrics = json.loads((folder / catalogue.METRICS).read_text())
    assert set(metrics) == {cell.path for cell in all_cells(spec.grid)}
    assert metrics[TUNED.path]["wikitext2"] == perplexity(spec, TUNED, "wikitext2")
    sweep = pd.read_csv(folder / catalogue.SWEEP).set_index(["cell", "text"])
    assert sweep.loc[(TUNED.path, "wikitext2"), "perplexity"] == perplexity(spec, TUNED, "wikitext2")
    assert sweep.loc[(TUNED.path, "wikitext2"), "tuned"] == "yes: alpaca, adapter"
    assert {cell.path for cell in recovered_cells(spec.grid)} <= set(sweep.index.get_level_values("cell"))


def test_a_damaged_measurement_is_named(spec: ReportSpec, folder: Path) -> None:
    damaged = next((folder / "evaluate").rglob("perplexity.json"))
    damaged.write_text(damaged.read_text()[:-9])
    with pytest.raises(LorapError, match=r"perplexity\.json: not valid JSON"):
        read_results(spec, folder)


def test_a_report_can_be_made_before_anything_was_run(spec: ReportSpec, tmp_path: Path) -> None:
    build_report(spec, tmp_path)
    main = pd.read_csv(tmp_path / "report/main.csv")
    assert main[main.cell.notna()]["wikitext2"].isna().all()
    assert "No cells of this grid." in (tmp_path / "report/ffn.md").read_text()
