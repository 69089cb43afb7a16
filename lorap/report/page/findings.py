"""What a reader of a report should know first: what is missing, and what is far from the published number."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from lorap.artifacts.grid import all_cells
from lorap.artifacts.places import measured
from lorap.artifacts.specs import ReportSpec
from lorap.report.page.chain import Progress, lacks
from lorap.report.read.scores import TEXTS
from lorap.report.tables.main_table import DIFFERENCE
from lorap.report.tables.sourced import CELL, Table

RELATIVE = 0.05  # of a perplexity: a few times the spread over calibration seeds
POINTS = 2.0  # of an accuracy in percent: about one standard error of the smallest of the seven tasks, taken whole
TOLERANCE = f"more than {RELATIVE:.0%} of a perplexity or {POINTS:g} points of an accuracy"


def warnings(spec: ReportSpec, folder: Path, steps: list[Progress], main: Table) -> list[str]:
    """A line for every cell that is not fully measured, artifact that is not there, and number far from published."""
    cells = all_cells(spec.grid)
    unmeasured = [(cell, lacks(spec, folder, cell)) for cell in cells]
    lines = [f"{cell.path}: not measured: {', '.join(parts)}" for cell, parts in unmeasured if parts]
    told = {measured(cell) for cell in cells}
    lines += [f"{file}: not made" for step in steps for file in step.missing if file not in told]
    return [*lines, *_far(main)]


def _far(main: Table) -> Iterator[str]:
    ending = DIFFERENCE.format("")
    for row in main.frame.to_dict("records"):
        for column in (name for name in main.columns if name.endswith(ending) and pd.notna(row[name])):
            name, difference = column.removesuffix(ending), row[column]
            published = row[name] - difference
            limit = RELATIVE * published if name in TEXTS else POINTS
            if abs(difference) > limit:
                yield f"{row[CELL]}: {name} is {row[name]:,.2f}, published is {published:,.2f} ({difference:+,.2f})"
