"""Zero-shot accuracy above that of the grid's first method on the very same documents."""

from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path
from statistics import fmean, variance
from typing import Any

import pandas as pd

from lorap.artifacts.specs import ReportSpec
from lorap.errors import LorapError
from lorap.report.read.results import Answers, read_answers
from lorap.report.read.scores import AVERAGE, SEVEN, ZEROSHOT
from lorap.report.tables.ablations import SEED_KEYS, SET
from lorap.report.tables.ratio_tables import BASE, COUNT, first_method, with_first
from lorap.report.tables.sourced import CELL, Origin, Table, records

COUNTS = ["tasks", "documents", COUNT]
ABOVE, ERROR, TIMES = "points above", "standard error of the points", "standard errors above"


def paired_table(spec: ReportSpec, results: pd.DataFrame, folder: Path) -> Table:
    """Difference of the mean accuracy in points, its standard error by document, and the one over the other.

    Calibrations that differ by their seed share a row: what counts of a document is the mean of its differences.
    """
    answers = read_answers(spec, folder)
    cells = with_first(spec, results, [])
    rows: list[dict[str, Any]] = []
    origins: dict[tuple[int, str], Origin] = {}
    for key, group in cells[cells.method != first_method(spec)].groupby([*SEED_KEYS, *SET], sort=False):
        pairs = [(row[CELL], row[BASE.format(CELL)]) for row in records(group)]
        pairs = [pair for pair in pairs if all(cell in answers for cell in pair)]
        if pairs:
            numbers = _compared(pairs, answers)
            origin = Origin(tuple(cell for pair in pairs for cell in pair), ZEROSHOT.format(AVERAGE))
            origins |= {(len(rows), name): origin for name in numbers}
            rows.append(dict(zip([*SEED_KEYS, *SET], key, strict=True)) | numbers)
    return Table(pd.DataFrame(rows, columns=[*SEED_KEYS, *SET, *COUNTS, ABOVE, ERROR, TIMES]), origins)


def _compared(pairs: Sequence[tuple[str, str]], answers: Mapping[str, Mapping[str, Answers]]) -> dict[str, float]:
    """Of the seven tasks where all were asked them all, else of all that all were asked.

    The mean of the tasks' differences has a variance of the sum of theirs over the square of their number.

    Raises:
        LorapError: They were asked different documents.
    """
    tasks = [task for task in answers[pairs[0][0]] if all(task in answers[cell] for pair in pairs for cell in pair)]
    tasks = [*SEVEN] if set(SEVEN) <= set(tasks) else tasks
    means, variances, documents = [], [], 0
    for task in tasks:
        gains = [fmean(of_seeds) for of_seeds in zip(*(_gains(pair, task, answers) for pair in pairs), strict=True)]
        means.append(fmean(gains))
        variances.append(variance(gains) / len(gains) if len(gains) > 1 else float("nan"))
        documents += len(gains)
    above, error = 100 * fmean(means), 100 * sqrt(sum(variances)) / len(tasks)
    found = {"tasks": len(tasks), "documents": documents, COUNT: len(pairs), ABOVE: above, ERROR: error}
    return found | {TIMES: above / error if error else float("nan")}


def _gains(pair: tuple[str, str], task: str, answers: Mapping[str, Mapping[str, Answers]]) -> list[int]:
    """For every document 1 where the cell alone is right, -1 where the first method's alone is."""
    own, first = (answers[cell][task] for cell in pair)
    if own.asked != first.asked:
        raise LorapError(f"{pair[0]}: task {task!r}: asked other documents than {pair[1]}; evaluate both again")
    return [mine - theirs for mine, theirs in zip(own.right, first.right, strict=True)]
