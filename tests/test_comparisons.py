"""Tables and a figure that compare methods with the grid's first: ratios, steps, paired answers, what layers keep."""

import json
import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lorap.artifacts.grid import Cell
from lorap.artifacts.kept import kept_shares
from lorap.artifacts.specs import ReportSpec
from lorap.errors import LorapError
from lorap.report.figures.shares import kept_figure
from lorap.report.page.origins import Origins
from lorap.report.read.facts import read_provenance
from lorap.report.read.results import read_results
from lorap.report.read.scores import SEVEN
from lorap.report.tables.all_tables import make_tables
from lorap.report.tables.sourced import Table, records
from tests.results_folder import CALIBRATION, MODEL, OWN_TASK, digits, fill, perplexity, small_spec

pytestmark = pytest.mark.thorough

SEEDS = [CALIBRATION, f"{CALIBRATION}-seed1", f"{CALIBRATION}-seed2"]
CELLS: list[dict[str, Any]] = [
    {"methods": ["lorap", "svd"], "sparsities": [0.5], "calibrations": [*SEEDS, "c4-128x128"], "zeroshot": True},
    {"methods": ["lorap-plus", "lorap-fast"], "sparsities": [0.2, 0.5], "calibrations": SEEDS[:2]},
]
TEXTS = ["wikitext2", "ptb-400", "wikitext2-2048"]


@pytest.fixture
def spec() -> ReportSpec:
    return small_spec(cells=CELLS)


@pytest.fixture
def folder(spec: ReportSpec, tmp_path: Path) -> Path:
    return fill(spec, tmp_path)


def made(spec: ReportSpec, folder: Path, name: str) -> Table:
    return make_tables(spec, read_results(spec, folder), folder)[name]


def cell(method: str, sparsity: float = 0.5, calibration: str = CALIBRATION) -> Cell:
    return Cell(MODEL, calibration, method, sparsity)


def ratio(spec: ReportSpec, text: str, method: str, calibration: str) -> float:
    values = [perplexity(spec, cell(name, calibration=calibration), text) for name in (method, "lorap")]
    return values[0] / values[1]


def together(spec: ReportSpec, method: str, calibration: str) -> float:
    return math.prod(ratio(spec, text, method, calibration) for text in TEXTS) ** (1 / len(TEXTS))


def rows_by(table: Table, *keys: str) -> dict[Any, dict[str, Any]]:
    rows = records(table.frame)
    found = {row[keys[0]] if len(keys) == 1 else tuple(row[key] for key in keys): row for row in rows}
    assert len(found) == len(rows)
    return found


def test_ratios_are_to_the_first_method_with_the_same_windows(spec: ReportSpec, folder: Path) -> None:
    table = rows_by(made(spec, folder, "ratio"), "method", "corpus")
    books = [(method, "bookcorpus") for method in ("svd", "lorap-plus", "lorap-fast")]
    assert list(table) == [*books, ("svd", "c4")]
    means = [together(spec, "svd", name) for name in SEEDS]
    row = table["svd", "bookcorpus"]
    assert row["all texts"] == pytest.approx(statistics.fmean(means))
    assert row["all texts deviation"] == pytest.approx(statistics.stdev(means))
    assert [table[key]["calibrations"] for key in table] == [3, 2, 2, 1]
    assert row["ptb-400"] == pytest.approx(statistics.fmean(ratio(spec, "ptb-400", "svd", name) for name in SEEDS))
    assert pd.isna(table["svd", "c4"]["all texts deviation"]), "one seed has none"
    assert {row["sparsity"] for row in table.values()} == {0.5}, "at 0.2 there is no lorap to compare with"


def test_a_mean_over_texts_needs_all_of_them(spec: ReportSpec, folder: Path) -> None:
    file = folder / "evaluate" / cell("svd").path / "perplexity.json"
    found = json.loads(file.read_text())
    del found["ptb-400"]
    file.write_text(json.dumps(found))
    row = rows_by(made(spec, folder, "ratio"), "method", "corpus")["svd", "bookcorpus"]
    assert row["calibrations"] == 2
    assert row["wikitext2"] == pytest.approx(statistics.fmean(ratio(spec, "wikitext2", "svd", s) for s in SEEDS))


def test_steps_name_their_parts_and_stand_beside_the_first_method(spec: ReportSpec, folder: Path) -> None:
    table = rows_by(made(spec, folder, "steps"), "method")
    assert list(table) == ["lorap", "svd", "lorap-plus", "lorap-fast"]
    parts = {name: [row[slot] for slot in ("attention", "ffn", "repair", "share")] for name, row in table.items()}
    assert parts["lorap"] == ["awsvd", "prune, keep_least 0.01", "none", "uniform"]
    assert parts["lorap-plus"] == [
        "joint-qk, token_weights relative, storage pivoted, vo narrow-heads",
        "prune, keep_least 0",
        "refit, token_weights relative",
        "water-filling, floor 0.15",
    ]
    assert [table["lorap"][name] for name in ("bookcorpus", "c4", "bookcorpus deviation")] == [1, 1, 0]
    assert table["svd"]["c4"] == pytest.approx(together(spec, "svd", "c4-128x128"))
    assert pd.isna(table["lorap-plus"]["c4"])


def test_a_ratio_tells_both_its_cells_and_every_protocol(spec: ReportSpec, folder: Path) -> None:
    origin = made(spec, folder, "ratio").origins[0, "all texts"]
    assert set(origin.cells) == {cell(name, calibration=seed).path for name in ("svd", "lorap") for seed in SEEDS}
    origins = Origins(spec, read_provenance(spec, folder))
    told = [fact for place in origins.groups[origins.number(origin)] for fact in origins.facts[place]]
    for text in TEXTS:
        assert sum(fact[1].startswith(f"perplexity {text}: ") for fact in told if fact[0] == "protocol") == 6


def test_paired_answers_give_the_error_of_the_difference(spec: ReportSpec, folder: Path) -> None:
    table = rows_by(made(spec, folder, "paired"), "method", "corpus")
    assert list(table) == [("svd", corpus) for corpus in ("bookcorpus", "c4")]
    gains = {calibration: gains_over_lorap(spec, calibration) for calibration in [*SEEDS, "c4-128x128"]}
    check_paired(table["svd", "c4"], gains["c4-128x128"], 1)
    check_paired(table["svd", "bookcorpus"], np.mean([gains[seed] for seed in SEEDS], axis=0), len(SEEDS))


def gains_over_lorap(spec: ReportSpec, calibration: str) -> np.ndarray:
    """For every task and document 1 where svd alone is right, -1 where lorap alone is: (tasks, documents)."""
    both = [cell(method, calibration=calibration) for method in ("svd", "lorap")]
    return np.array([
        [int(a) - int(b) for a, b in zip(*(digits(spec, one, t, SEVEN[t]) for one in both), strict=True)] for t in SEVEN
    ])  # fmt: skip


def check_paired(row: Mapping[str, Any], gains: np.ndarray, calibrations: int) -> None:
    """A row is what these mean gains, (tasks, documents), come to."""
    assert row["points above"] == pytest.approx(100 * gains.mean())
    assert row["standard error of the points"] == pytest.approx(100 * np.sqrt((gains.var(1, ddof=1) / 10).sum()) / 7)
    assert row["standard errors above"] == pytest.approx(row["points above"] / row["standard error of the points"])
    assert (row["tasks"], row["documents"]) == (7, 70), f"{OWN_TASK} is none of the seven"
    assert row["calibrations"] == calibrations


def test_answers_to_other_documents_are_not_compared(spec: ReportSpec, folder: Path) -> None:
    file = folder / "evaluate" / cell("svd").path / "zeroshot.json"
    file.write_text(file.read_text().replace("hash of piqa", "another hash"))
    with pytest.raises(LorapError, match=r"svd-0\.5: task 'piqa': asked other documents than .*lorap-0\.5; evaluate"):
        made(spec, folder, "paired")


def test_results_without_answers_make_no_pairs(spec: ReportSpec, folder: Path) -> None:
    for file in (folder / "evaluate").rglob("zeroshot.json"):
        content = json.loads(file.read_text())
        file.write_text(json.dumps({name: value for name, value in content.items() if name != "answers"}))
    assert made(spec, folder, "paired").frame.empty


def test_shares_count_what_is_stored_over_the_dense_weights(folder: Path) -> None:
    first, second, third = kept_shares(folder / "compress" / cell("lorap-plus").path)
    assert first == pytest.approx({"q, k": (4 * 64 + 4 * 48) / (48 * 32), "v, o": 0.5, "FFN": 1})
    assert second["FFN"] == 0.5
    assert third["q, k"] == pytest.approx((4 * 64 + 4 * 16) / (48 * 32)), "the right factor is stored once"


def test_the_figure_has_a_curve_a_sparsity_of_the_first_method_of_each_share(spec: ReportSpec, folder: Path) -> None:
    figure = kept_figure(spec, read_results(spec, folder), folder)
    labels = [axis.get_ylabel() for axis in figure.axes]
    pieces = ("q, k", "v, o", "FFN")
    assert labels == [f"share kept\n{method}: {piece}" for method in ("lorap-plus", "lorap-fast") for piece in pieces]
    curves = {str(line.get_label()): list(np.asarray(line.get_ydata())) for line in figure.axes[2].lines}
    assert curves == {"sparsity 0.2": [1, 0.8, 0.8], "sparsity 0.5": [1, 0.5, 0.5]}
    uniform = small_spec(cells=CELLS[:1])
    assert [text.get_text() for text in kept_figure(uniform, pd.DataFrame(), folder).axes[0].texts] == ["not measured"]
