"""What a reader should know of a grid after five lines: computed from its results, and open about what is missing."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import pandas as pd

from lorap.artifacts.grid import all_cells
from lorap.artifacts.specs import ReportSpec
from lorap.report.read.removed_share import REMOVED, on_budget
from lorap.report.read.results import is_main
from lorap.report.read.scores import AVERAGE, COST, PERPLEXITY, SEVEN, TASK, score_measures
from lorap.report.tables.formats import readable
from lorap.report.tables.sourced import CELL, Origin, records

NOT_MEASURED = "not measured"
PREFILL = "prefill_seconds_"
Row = dict[str, Any]
Part = str | tuple[str, Origin]  # a text, or a number and where it comes from


@dataclass(frozen=True)
class Line:
    """A line of the summary: what it is about, and what it says."""

    label: str
    parts: list[Part]


def measured(spec: ReportSpec, results: pd.DataFrame, unmeasured: int) -> Line:
    """What was measured.

    Args:
        spec: The grid and what it uses.
        results: A row for each cell, as ``read_results`` gives them.
        unmeasured: How many of the cells lack a measurement.
    """
    total = len(all_cells(spec.grid))
    missing = f"{total - unmeasured} of {total} cells (for the others see the warnings)"
    said = [f"{missing if unmeasured else f'all {total} cells'}: {_listed(spec.grid.models)}"]
    compressed = results[results.method != "dense"]
    if compressed.empty:
        return Line("Measured", [f"{said[0]}, not compressed"])
    count = compressed.method.nunique()
    sparsities = _listed(f"{value:g}" for value in sorted(compressed.sparsity.unique()))
    said += [f"{count} method{'s' * (count > 1)} at sparsity {sparsities}", f"calibrated on {spec.grid.calibration}"]
    return Line("Measured", [", ".join(said)])


def summary(spec: ReportSpec, results: pd.DataFrame) -> dict[str, list[Line]]:
    """By model: the dense one, the best method at each sparsity, what tuning won back, size and speed."""
    main = results[is_main(spec, results)]
    models = {name: _Model(spec, main[main.model == name]) for name in spec.grid.models}
    return {
        name: [
            Line("Dense model", _joined(model.dense())),
            Line("Best method", _joined(model.best())),
            Line("Tuning", _joined(model.tuning())),
            Line("Size and speed", _joined(model.size())),
        ]
        for name, model in models.items()
    }


class _Model:
    """The rows of one model of a grid, and what the lines of a summary say of it."""

    def __init__(self, spec: ReportSpec, rows: pd.DataFrame) -> None:
        self.spec = spec
        self.text = next(iter(spec.perplexity))
        self.base = records(rows[rows.method == "dense"])[0]
        self.untuned = rows[(rows.method != "dense") & rows.tuning.isna()]
        self.tuned = rows[rows.tuning.notna()]

    def dense(self) -> Iterator[list[Part]]:
        """Its perplexity on every text, its mean accuracy and that on the grid's own tasks."""
        for text in self.spec.perplexity:
            yield _parts(f"perplexity {{}} on {text}", self._number(self.base, text, PERPLEXITY.format(text)))
        for name, measure in score_measures(self.spec).items():
            if name not in SEVEN and pd.notna(self.base[name]):
                tasks = "average of the seven tasks" if name == AVERAGE else name.removesuffix(TASK.format(""))
                yield _parts(f"accuracy {{}} % ({tasks})", self._number(self.base, name, measure))

    def best(self) -> Iterator[list[Part]]:
        """The lowest perplexity at each sparsity, among the methods that removed as much."""
        for row in self._best():
            times = row[self.text] / self.base[self.text]
            dense = f", {times:,.1f} times the dense model's" if pd.notna(times) else ""
            yield _parts(f"{_at(row)}: perplexity {{}} on {self.text}{dense}", self._perplexity(row))

    def tuning(self) -> Iterator[list[Part]]:
        """The lowest perplexity of a tuned model at each sparsity, and that before tuning."""
        if self.tuned.empty:
            yield ["not part of this grid"]
        for row in self._lowest(self.tuned):
            before = next(other for other in records(self.untuned) if _at(other) == _at(row))
            lost, won = before[self.text] - self.base[self.text], before[self.text] - row[self.text]
            share = f", which wins back {won / lost:.0%} of what compression had cost" if lost > 0 < won else ""
            numbers = self._perplexity(before), self._perplexity(row)
            how = f"{row['tuning']}, {row['kept_as']}"
            yield _parts(f"{_at(row)}: perplexity from {{}} to {{}} ({how}){share}", *numbers)

    def size(self) -> Iterator[list[Part]]:
        """Parameters of the best at each sparsity, and how fast they read a prompt."""
        prefill = next((name for name in self.base if name.startswith(PREFILL)), None)
        for row in self._best():
            kept = row["parameters"] / self.base["parameters"]
            share = f", {kept:.0%} of the dense model's" if pd.notna(kept) else ""
            speed = self.base[prefill] / row[prefill] if prefill else float("nan")
            fast = f"speed {NOT_MEASURED}"
            if pd.notna(speed):
                fast = f"reads a prompt {speed:.2f} times as fast as the dense model"
            yield _parts(f"{_at(row)}: {{}} parameters{share}, {fast}", self._number(row, "parameters", COST))

    def _best(self) -> list[Row]:
        """The best untuned cell at each sparsity, among those that may be ranked."""
        blocks = [block for _, block in self.untuned.groupby("sparsity")]
        alike = [block[on_budget(block[REMOVED], block.sparsity.iloc[0])] for block in blocks]
        return self._lowest(pd.concat([self.untuned.iloc[:0], *alike]))

    def _lowest(self, cells: pd.DataFrame) -> list[Row]:
        """Of the cells whose perplexity was measured the one with the lowest at each sparsity."""
        ordered = cells.dropna(subset=[self.text]).sort_values(["sparsity", self.text], kind="stable")
        return records(ordered.drop_duplicates("sparsity"))

    def _perplexity(self, row: Row) -> Part:
        return self._number(row, self.text, PERPLEXITY.format(self.text))

    def _number(self, row: Row, column: str, measure: str) -> Part:
        text = readable(row[column], self.spec.report.digits)
        return (text, Origin((row[CELL],), measure)) if text else NOT_MEASURED


def _joined(clauses: Iterator[list[Part]]) -> list[Part]:
    return [part for clause in clauses for part in ("; ", *clause)][1:] or [NOT_MEASURED]


def _parts(text: str, *numbers: Part) -> list[Part]:
    """A text with numbers in the places of its braces."""
    texts = text.split("{}")
    return [part for pair in zip_longest(texts, numbers) for part in pair if part]


def _at(row: Row) -> str:
    return f"{row['method']} at sparsity {row['sparsity']:g}"


def _listed(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
