"""Zero-shot accuracy above that of the grid's first method on the very same documents."""

from math import sqrt
from pathlib import Path
from statistics import fmean, variance
from typing import Any

import pandas as pd

from lorap.artifacts.specs import ReportSpec
from lorap.errors import LorapError
from lorap.report.read.results import Answers, read_answers
from lorap.report.read.scores import AVERAGE, SEVEN, ZEROSHOT
from lorap.report.tables.ratio_tables import BASE, first_method, with_first
from lorap.report.tables.sourced import CELL, Origin, Table, records

PAIRED_KEYS = ["model", "method", "sparsity", "tuned", "calibration"]
COUNTS = ["tasks", "documents"]
ABOVE, ERROR, TIMES = "points above", "standard error of the points", "standard errors above"


def paired_table(spec: ReportSpec, results: pd.DataFrame, folder: Path) -> Table:
    """Difference of the mean accuracy in points, its standard error by document, and the one over the other."""
    answers = read_answers(spec, folder)
    cells = with_first(spec, results, [])
    rows: list[dict[str, Any]] = []
    origins: dict[tuple[int, str], Origin] = {}
    for row in records(cells[cells.method != first_method(spec)]):
        pair = (row[CELL], row[BASE.format(CELL)])
        if not all(pair[place] in answers for place in (0, 1)):
            continue
        numbers = _compared(*pair, answers)
        origins |= {(len(rows), name): Origin(pair, ZEROSHOT.format(AVERAGE)) for name in numbers}
        rows.append({name: row[name] for name in [*PAIRED_KEYS, CELL]} | numbers)
    return Table(pd.DataFrame(rows, columns=[*PAIRED_KEYS, *COUNTS, ABOVE, ERROR, TIMES, CELL]), origins)


def _compared(cell: str, first: str, answers: dict[str, dict[str, Answers]]) -> dict[str, float]:
    """Of the seven tasks where both were asked them all, else of all that both were asked.

    The mean of the tasks' differences has a variance of the sum of theirs over the square of their number.

    Raises:
        LorapError: They were asked different documents.
    """
    own, others = answers[cell], answers[first]
    tasks = [task for task in own if task in others]
    tasks = [*SEVEN] if set(SEVEN) <= set(tasks) else tasks
    means, variances, documents = [], [], 0
    for task in tasks:
        if own[task].asked != others[task].asked:
            raise LorapError(f"{cell}: task {task!r}: asked other documents than {first}; evaluate both again")
        gains = [mine - theirs for mine, theirs in zip(own[task].right, others[task].right, strict=True)]
        means.append(fmean(gains))
        variances.append(variance(gains) / len(gains) if len(gains) > 1 else float("nan"))
        documents += len(gains)
    above, error = 100 * fmean(means), 100 * sqrt(sum(variances)) / len(tasks)
    found = {"tasks": len(tasks), "documents": documents, ABOVE: above, ERROR: error}
    return found | {TIMES: above / error if error else float("nan")}
