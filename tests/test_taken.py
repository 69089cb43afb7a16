"""The figure of what each method takes from which layer, from the plans that the models record."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lorap.artifacts.grid import Cell
from lorap.artifacts.kept import taken_shares
from lorap.artifacts.specs import ReportSpec
from lorap.report.figures.taken import taken_figure
from tests.results_folder import CALIBRATION, MODEL, compressed_config, fill, small_spec

METHODS = ["wanda-sp", "flap", "svd", "svd-llm", "lorap-plus"]
DENSE: dict[str, Any] = {"ranks": {}, "channels": 100}
PLANS = {  # of the three layers; the last method is as `fill` leaves it
    "wanda-sp": [DENSE | {"channels": 60}] * 3,
    "flap": [DENSE, DENSE | {"heads": 2, "kv_heads": 1}, DENSE | {"heads": 0, "kv_heads": 0, "channels": 60}],
    "svd": [DENSE | {"ranks": {"q_proj": 8, "k_proj": 4}}] * 3,
    "svd-llm": [DENSE | {"ranks": {"q_proj": 8, "k_proj": 4}}] * 3,
}


@pytest.fixture
def spec() -> ReportSpec:
    return small_spec(cells=[{"methods": METHODS, "sparsities": [0.5]}, {"methods": ["lorap"], "sparsities": [0.2]}])


@pytest.fixture
def folder(spec: ReportSpec, tmp_path: Path) -> Path:
    fill(spec, tmp_path)
    for method, layers in PLANS.items():
        cell = Cell(MODEL, CALIBRATION, method, 0.5)
        config = compressed_config(cell) | {"lorap": {"layers": layers}}
        (tmp_path / "compress" / cell.path / "config.json").write_text(json.dumps(config))
    return tmp_path


def draw(spec: ReportSpec, folder: Path) -> Figure:
    return taken_figure(spec, pd.DataFrame(), folder)


def curves(axis: Axes) -> dict[str, list[float]]:
    return {str(line.get_label()): [round(float(y), 9) for y in np.asarray(line.get_ydata())] for line in axis.lines}


def test_each_method_has_a_curve_of_what_it_takes_and_none_of_what_it_leaves(spec: ReportSpec, folder: Path) -> None:
    panels = {axis.get_ylabel().removeprefix("share taken\n"): curves(axis) for axis in draw(spec, folder).axes}
    assert panels.keys() == {"heads", "channels", "rank of q, k", "rank of v, o"}, "nobody factors an FFN"
    assert panels["heads"] == {"flap": [0, 0.5, 1]}
    assert panels["channels"] == {"wanda-sp": [0.4] * 3, "flap": [0, 0, 0.4], "lorap-plus": [0, 0.5, 0.5]}
    full, left = 32 + 16, 8 + 4  # of q and k, where a head has 8 dimensions
    assert panels["rank of q, k"]["svd, svd-llm"] == [1 - left / full] * 3, "two that take alike share a curve"
    assert panels["rank of v, o"] == {"lorap-plus": [0.5] * 3}, "heads of half their dimension"


def test_a_method_looks_the_same_in_every_panel(spec: ReportSpec, folder: Path) -> None:
    lines = [line for axis in draw(spec, folder).axes for line in axis.lines]
    looks = {(line.get_label(), line.get_color(), line.get_marker()) for line in lines}
    assert len(looks) == len({label for label, *_ in looks}) == 4


def test_the_rank_of_what_is_left_does_not_count_removed_units_again(folder: Path) -> None:
    shares = taken_shares(folder / "compress" / Cell(MODEL, CALIBRATION, "flap", 0.5).path)
    assert [layer["rank of q, k"] for layer in shares] == [0, 0, 0]


def test_models_stored_dense_say_nothing_of_their_layers(spec: ReportSpec, folder: Path) -> None:
    for file in (folder / "compress").rglob("config.json"):
        file.write_text(json.dumps({name: v for name, v in json.loads(file.read_text()).items() if name != "lorap"}))
    assert [text.get_text() for text in draw(spec, folder).axes[0].texts] == ["not measured"]
