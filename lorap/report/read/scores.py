"""The published tables' convention: which texts and tasks they have, and which accuracy of a task they mean."""

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from lorap.artifacts.specs import ReportSpec

TEXTS = ("wikitext2", "ptb")
SEQLEN = 128  # of the published perplexities, on all windows of a text
SEVEN = {
    "boolq": "acc",
    "piqa": "acc",
    "hellaswag": "acc_norm",
    "winogrande": "acc",
    "arc_easy": "acc",
    "arc_challenge": "acc_norm",
    "openbookqa": "acc_norm",
}
AVERAGE = "average"
TASK = "{} acc"  # a column; one that is not published must not be taken for the perplexity on a text of its name
PERPLEXITY, ZEROSHOT = "perplexity {}", "zero-shot {}"  # what a number is measured by
ALL_TEXTS = "perplexity"  # all of a grid's
COST, TUNING, COMPRESSING = "cost", "tuning", "compressing"


def task_scores(tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Percent by column: the seven under their names, other tasks as ``TASK acc``, the mean where all seven are there.

    Args:
        tasks: Accuracies of every task, as in zeroshot.json.
    """
    scores = {
        task_column(task): 100 * result[SEVEN.get(task, "acc")]
        for task, result in tasks.items()
        if SEVEN.get(task, "acc") in result
    }
    if scores.keys() >= SEVEN.keys():
        scores[AVERAGE] = fmean(scores[task] for task in SEVEN)
    return scores


def task_column(task: str) -> str:
    """The column of a task."""
    return task if task in SEVEN else TASK.format(task)


def score_columns(spec: ReportSpec) -> list[str]:
    """The columns of the seven tasks, their average, and the grid's other tasks."""
    others = [task_column(task) for task in (spec.zeroshot.tasks if spec.zeroshot else ()) if task not in SEVEN]
    return [*SEVEN, AVERAGE, *others]


def score_measures(spec: ReportSpec) -> dict[str, str]:
    """What every column of accuracy is measured by."""
    return {name: ZEROSHOT.format(name.removesuffix(TASK.format(""))) for name in score_columns(spec)}


def published_protocols(spec: ReportSpec) -> dict[str, str]:
    """For every published text that the grid scores in windows of the published length, the protocol that does.

    One that scores all of the text goes before one that does not.
    """
    found: dict[str, str] = {}
    for whole in (True, False):
        for name, protocol in spec.perplexity.items():
            if protocol.seqlen == SEQLEN and protocol.corpus in TEXTS and (protocol.windows is None) == whole:
                found.setdefault(protocol.corpus, name)
    return {text: found[text] for text in TEXTS if text in found}


def same_as_published(spec: ReportSpec) -> list[str]:
    """The columns that are measured by the very protocol of the published tables."""
    texts = [text for text, name in published_protocols(spec).items() if spec.perplexity[name].windows is None]
    whole = spec.zeroshot is not None and spec.zeroshot.documents is None
    return [*texts, *([*SEVEN, AVERAGE] if whole else [])]
