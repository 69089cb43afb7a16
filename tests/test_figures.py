"""Figures: the curves that they should hold, as wide as a column of a paper, legible without colour."""

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.image import imread

from lorap.artifacts import catalogue
from lorap.artifacts.grid import all_cells
from lorap.artifacts.specs import ReportSpec
from lorap.report.build import build_report
from lorap.report.figures.all_figures import FIGURES
from lorap.report.figures.style import WIDTH, looks, panels, perplexity_axis
from lorap.report.read.results import read_results
from lorap.report.tables.ratio_tables import ratio_table
from lorap.settings.config import load_params
from tests.results_folder import MODEL, fill, perplexity, small_spec

pytestmark = pytest.mark.thorough


@pytest.fixture
def spec() -> ReportSpec:
    return small_spec()


@pytest.fixture
def folder(spec: ReportSpec, tmp_path: Path) -> Path:
    return fill(spec, tmp_path)


def draw(spec: ReportSpec, folder: Path, name: str) -> Figure:
    return FIGURES[name](spec, read_results(spec, folder), folder)


def curves(axis: Axes) -> dict[str, list[tuple[float, float]]]:
    """Points by the name of their curve."""
    lines = {str(line.get_label()): line.get_xydata() for line in axis.lines}
    return {name: [(x, y) for x, y in np.asarray(points)] for name, points in lines.items() if not name.startswith("_")}


def test_every_figure_is_as_wide_as_a_column_for_each_model(spec: ReportSpec, folder: Path) -> None:
    build_report(spec, folder)
    for name in catalogue.FIGURES:
        pixels = imread(folder / "report/figures" / f"{name}.png").shape[1]
        assert pixels == pytest.approx(WIDTH * spec.report.dpi, abs=1), name


def test_perplexity_goes_from_dense_over_every_sparsity_and_tuning_is_a_curve_of_its_own(
    spec: ReportSpec, folder: Path
) -> None:
    found = curves(draw(spec, folder, "perplexity").axes[0])
    assert set(found) == {"lorap", "svd", "lorap tuned, alpaca", "lorap tuned, alpaca-factored", "dense"}
    values = {cell.path: perplexity(spec, cell, "wikitext2") for cell in all_cells(spec.grid)}
    place = f"{MODEL}/bookcorpus-128x128/lorap"
    dense = (0.0, values[f"{MODEL}/dense"])
    assert found["lorap"] == [dense, (0.2, values[f"{place}-0.2"]), (0.5, values[f"{place}-0.5"])]
    tuned = [(s, values[f"{place}-{s}/alpaca/adapter"]) for s in (0.2, 0.5)]
    assert found["lorap tuned, alpaca"] == [dense, *tuned]


def test_what_is_tuned_is_in_no_figure_of_untuned_cells(spec: ReportSpec, folder: Path) -> None:
    found = curves(draw(spec, folder, "allocation").axes[0])
    assert {name: len(points) for name, points in found.items()} == {"awsvd": 2, "svd": 1}


def test_what_a_grid_does_not_measure_is_told_without_numbers(tmp_path: Path) -> None:
    spec = small_spec(cells=[{"methods": ["lorap"], "sparsities": [0.5]}])
    fill(spec, tmp_path)
    labels = {name: [axis.get_xlabel() + axis.get_ylabel() for axis in draw(spec, tmp_path, name).axes]
              for name in catalogue.FIGURES}  # fmt: skip
    assert {name: found for name, found in labels.items() if "nan" in "".join(found)} == {}


@pytest.mark.parametrize("name", ["pareto_parameters", "pareto_latency"])
def test_every_method_has_its_points_among_the_costs_however_many_there_are(tmp_path: Path, name: str) -> None:
    methods = [name for name in load_params().methods if "published" not in name][:20]
    spec = small_spec(cells=[{"methods": methods, "sparsities": [0.2, 0.5]}])
    figure = draw(spec, fill(spec, tmp_path), name)
    found = curves(figure.axes[0])
    assert {label: len(points) for label, points in found.items()} == {"dense": 1} | dict.fromkeys(methods, 2)
    figure.draw_without_rendering()
    assert figure.legends[0].get_window_extent().y1 <= figure.bbox.y1, "the legend is cut off"


def test_ratios_have_a_row_for_each_method_and_a_point_for_each_text_with_its_spread(tmp_path: Path) -> None:
    seeds = ["bookcorpus-128x128", "bookcorpus-128x128-seed1"]
    cells = [{"methods": ["lorap", "svd", "afm"], "sparsities": [0.2, 0.5], "calibrations": [*seeds, "c4-128x128"]}]
    spec = small_spec(cells=cells)
    figure = draw(spec, fill(spec, tmp_path), "ratios")
    assert [axis.get_ylabel() for axis in figure.axes] == ["sparsity 0.2", "sparsity 0.5"]
    table = ratio_table(spec, read_results(spec, tmp_path)).frame
    for axis, sparsity in zip(figure.axes, (0.2, 0.5), strict=True):
        assert [label.get_text() for label in axis.get_yticklabels()] == ["svd", "afm"]
        for bars in axis.containers:
            assert isinstance(bars, ErrorbarContainer)
            points, _, (spread,) = bars.lines
            wanted = table[(table.corpus == bars.get_label()) & (table.sparsity == sparsity)]
            assert list(wanted.method) == ["svd", "afm"]
            assert points is not None
            assert points.get_xdata() == pytest.approx(wanted["all texts"].tolist())
            widths = [(end - start) / 2 for (start, _), (end, _) in spread.get_segments()]
            assert widths == pytest.approx(wanted["all texts deviation"].fillna(0).tolist())


def test_tuning_shows_training_and_held_out_loss_of_every_tuning(spec: ReportSpec, folder: Path) -> None:
    axis = draw(spec, folder, "tuning").axes[0]
    names = ["lorap 0.2, alpaca", "lorap 0.5, alpaca", "lorap 0.5, alpaca-factored"]
    found = {name: [step for step, _ in points] for name, points in curves(axis).items()}
    assert found == {name: [4, 8] for name in names}
    assert sorted(len(np.asarray(line.get_xdata())) for line in axis.lines) == [2, 2, 2, 8, 8, 8]


def test_errors_are_shown_in_both_norms_and_of_an_old_file_in_the_one_it_has(spec: ReportSpec, folder: Path) -> None:
    figure = draw(spec, folder, "error_by_layer")
    shown = {axis.get_ylabel().removeprefix("relative error\n"): curves(axis) for axis in figure.axes}
    points = {row: found["lorap"][0] for row, found in shown.items()}
    assert points == {"attention": (0, 0.1), "attention, plain": (0, 0.3), "FFN": (0, 0.2), "FFN, plain": (0, 0.4)}
    for file in folder.rglob("layers.json"):
        file.write_text(json.dumps([{"errors": layer["errors"]} for layer in json.loads(file.read_text())]))
    assert len(draw(spec, folder, "error_by_layer").axes) == 2


def test_errors_of_joint_factors_have_a_panel_of_their_own_as_predicted_and_as_measured(
    spec: ReportSpec, folder: Path
) -> None:
    for file in folder.rglob("lorap-0.5/layers.json"):
        joint = {"joint_errors": {"predicted": 0.5, "measured": 0.6}}
        file.write_text(json.dumps([layer | joint for layer in json.loads(file.read_text())]))
    found = curves(draw(spec, folder, "error_by_layer").axes[-1])
    assert found == {f"lorap, {kind}": [(layer, error) for layer in range(3)]
                     for kind, error in (("predicted", 0.5), ("measured", 0.6))}  # fmt: skip


def test_curves_differ_in_their_markers_not_only_in_their_shade() -> None:
    markers = [look["marker"] for look in itertools.islice(looks(), 13)]
    assert len(set(markers)) == len(markers)


@pytest.mark.parametrize("values", [(20.0, 700_000.0), (20.0, 150.0), (20.0, 31.0), (20.0, 20.0)])
def test_an_axis_has_a_few_round_ticks_whatever_its_range(values: tuple[float, float]) -> None:
    figure, axes = panels(["model"], ["text"])
    axis = axes["model", "text"]
    axis.plot([0, 1], values)
    perplexity_axis(axis, "perplexity")
    figure.draw_without_rendering()
    low, high = axis.get_ylim()
    ticks = [label.get_text() for label in axis.get_yticklabels() if low <= label.get_position()[1] <= high]
    assert 1 <= len(ticks) <= 7
    assert len(set(ticks)) == len(ticks)


def test_a_figure_of_nothing_says_so(spec: ReportSpec, tmp_path: Path) -> None:
    figure = draw(spec, tmp_path, "tuning")
    assert [text.get_text() for text in figure.axes[0].texts] == ["not measured"]
    assert pd.isna(read_results(spec, tmp_path)["wikitext2"]).all()
