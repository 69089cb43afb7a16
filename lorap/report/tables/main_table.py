"""The main table: perplexity and zero-shot accuracy of every cell, beside what is published."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from lorap.artifacts.grid import ADAPTER
from lorap.artifacts.specs import ReportSpec
from lorap.report.read.published import published_main
from lorap.report.read.results import is_main
from lorap.report.read.scores import (
    AVERAGE,
    PERPLEXITY,
    SEVEN,
    TEXTS,
    published_protocols,
    same_as_published,
    score_columns,
    score_measures,
)
from lorap.report.tables.sourced import CELL, MEASURED, SOURCE, Table, records, stacked, with_origins
from lorap.settings.schema import Tune

KEYS = ["sparsity", "tuned", "model", "method"]
DIFFERENCE = "{} difference"
TUNED_AS_PUBLISHED = {  # method.md, 9
    "corpus": "alpaca", "form": "dense", "rows": None, "held_out": 2000, "split_seed": 42, "cutoff": 256,
    "rank": 8, "alpha": 16, "dropout": 0.05, "learning_rate": 1e-4, "warmup_steps": 100,
    "epochs": 2, "max_steps": None, "batch": 64,
}  # fmt: skip


def main_table(spec: ReportSpec, results: pd.DataFrame) -> Table:
    """Every cell and every published row: perplexities, accuracies, and the difference where both are of one thing."""
    columns = text_columns(spec)
    own = results[is_main(spec, results)]
    own = own.assign(
        **{column: own[protocol] for column, protocol in columns.items()},
        tuned=tuned_names(own),
        **{SOURCE: _source(spec)},
    )
    published = published_main(spec.grid.models)
    differences = _differences(spec, own, published)
    both = stacked([own.assign(**differences), published])
    values = [*dict.fromkeys([*TEXTS, *columns]), *score_columns(spec)]
    both = in_blocks(spec, both)[[*KEYS, *values, *differences, SOURCE, CELL]]
    return with_origins(both, measures(spec, columns, list(differences)))


def text_columns(spec: ReportSpec) -> dict[str, str]:
    """Columns of perplexity and their protocols: that of a published text is shown under the name of the text."""
    columns = published_protocols(spec)
    for name, protocol in spec.perplexity.items():
        if name not in columns.values():
            columns[name if name not in TEXTS else f"{name}, {protocol.seqlen} tokens"] = name
    return columns


def tuned_names(results: pd.DataFrame) -> "pd.Series[str]":
    """``no``, or ``yes`` with the tuning and the form that the tuned model is kept in."""
    return ("yes: " + results.tuning + ", " + results.kept_as).fillna("no")


def measures(spec: ReportSpec, columns: dict[str, str], differences: list[str]) -> dict[str, str]:
    """What every column of numbers is measured by."""
    found = {column: PERPLEXITY.format(protocol) for column, protocol in columns.items()}
    found = dict.fromkeys(TEXTS, "published") | found
    found |= score_measures(spec)
    return found | {name: found[name.removesuffix(DIFFERENCE.format(""))] for name in differences}


def in_blocks(spec: ReportSpec, rows: pd.DataFrame) -> pd.DataFrame:
    """One block a sparsity; in it without tuning first, each model's own rows before the published ones."""
    models = {name.lower(): place for place, name in enumerate(spec.grid.models)}
    order = pd.DataFrame({
        "sparsity": rows.sparsity,
        "tuned": rows.tuned != "no",
        "model": rows.model.str.lower().map(models).fillna(len(models)),
        "published": rows[CELL].isna(),
    })  # fmt: skip
    return rows.loc[order.sort_values(list(order.columns), kind="stable").index]


def _differences(spec: ReportSpec, own: pd.DataFrame, published: pd.DataFrame) -> "dict[str, pd.Series[float]]":
    """Measured minus published, where model, method, sparsity, tuning and protocol are the same."""
    references: dict[tuple[object, ...], float] = {}
    for row in records(published[published.tuned.isin(["no", "yes"])]):
        for name in (*TEXTS, *SEVEN, AVERAGE):
            if pd.notna(row[name]):
                references.setdefault((*_identity(row), row["tuned"] == "yes", name), row[name])
    found = {}
    for name in same_as_published(spec):
        values = [references.get((*_identity(row), *_comparable(spec, row), name)) for row in records(own)]
        difference = own[name] - pd.Series(values, index=own.index, dtype=float)
        if difference.notna().any():
            found[DIFFERENCE.format(name)] = difference
    return found


def _identity(row: Mapping[str, Any]) -> tuple[str, str, float]:
    return row["model"].lower(), row["method"].lower(), row["sparsity"]


def _comparable(spec: ReportSpec, row: Mapping[str, Any]) -> tuple[bool, ...]:
    """Whether a cell is tuned; nothing, which no published row has, where it is not tuned as those are."""
    if not isinstance(row["tuning"], str):
        return (False,)
    return (True,) if row["kept_as"] == ADAPTER and _as_published(spec.tune[row["tuning"]]) else ()


def _as_published(tune: Tune) -> bool:
    """Whether a tuning is that of the published rows, which are measured with the adapter beside dense weights."""
    return {name: getattr(tune, name) for name in TUNED_AS_PUBLISHED} == TUNED_AS_PUBLISHED


def _source(spec: ReportSpec) -> str:
    """The source of measured rows, with what sets their protocol apart from that of the columns."""
    parts = []
    counts = {text: spec.perplexity[name].windows for text, name in published_protocols(spec).items()}
    for count in dict.fromkeys(filter(None, counts.values())):
        parts.append(f"{' and '.join(t for t in counts if counts[t] == count)} on the first {count} windows")
    if spec.zeroshot and spec.zeroshot.documents and set(spec.zeroshot.tasks) & set(SEVEN):
        parts.append(f"the tasks on {spec.zeroshot.documents} documents of each")
    return f"{MEASURED}, {', '.join(parts)}" if parts else MEASURED
