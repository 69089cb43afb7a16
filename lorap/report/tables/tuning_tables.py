"""What tuning recovers, and what becomes of it when the tuned model is factored again."""

from typing import Any

import pandas as pd

from lorap.artifacts.grid import ADAPTER
from lorap.artifacts.specs import ReportSpec
from lorap.report.read.results import FORMS
from lorap.report.read.scores import COST
from lorap.report.tables.ablations import value_measures
from lorap.report.tables.sourced import CELL, MEASURED, SOURCE, Origin, Table, records, with_origins

BASE = ["model", "method", "sparsity", "calibration"]
WITHOUT = "not tuned"
CHANGE = "exact minus adapter"


def tuning_table(spec: ReportSpec, results: pd.DataFrame) -> Table:
    """Each tuning in a row: every measure without it, with the adapter, and factored again, side by side."""
    tuned = results[results.tuning.notna()]
    measures = value_measures(spec, tuned)
    rows: list[dict[str, Any]] = []
    origins: dict[tuple[int, str], Origin] = {}
    for group in _tunings(tuned):
        row = {name: group[0][name] for name in [*BASE, "tuning"]}
        row["form"] = spec.tune[row["tuning"]].form
        forms = {WITHOUT: _untuned(results, row)} | {cell["kept_as"]: cell for cell in group}
        for name, measure in measures.items():
            for form, cell in forms.items():
                row[f"{name}, {form}"] = cell[name]
                if pd.notna(cell[name]):
                    origins[len(rows), f"{name}, {form}"] = Origin((cell[CELL],), measure)
            if {"exact", ADAPTER} <= forms.keys():
                row[f"{name}, {CHANGE}"] = forms["exact"][name] - forms[ADAPTER][name]
        rows.append(row)
    kept = [form for form in FORMS if (tuned.kept_as == form).any()]
    columns = [f"{name}, {form}" for name in measures for form in (WITHOUT, *kept, CHANGE)]
    return Table(pd.DataFrame(rows, columns=[*BASE, "tuning", "form", *columns]), origins)


def redecompose_table(spec: ReportSpec, results: pd.DataFrame) -> Table:
    """Parameters and measures of every form in which a tuned model is kept, after the model that was tuned."""
    tuned = results[results.tuning.notna()]
    rows = []
    for group in _tunings(tuned):
        rows += [_untuned(results, group[0]) | {"tuning": group[0]["tuning"], "kept_as": WITHOUT}, *group]
    frame = pd.DataFrame(rows, columns=results.columns).assign(**{SOURCE: MEASURED})
    values = {"parameters": COST} | value_measures(spec, tuned)
    return with_origins(frame[[*BASE, "tuning", "kept_as", *values, SOURCE, CELL]], values)


def _tunings(tuned: pd.DataFrame) -> list[list[dict[str, Any]]]:
    """The rows of every tuning: one for each form that it is kept in."""
    return [records(group) for _, group in tuned.groupby([*BASE, "tuning"], sort=False)]


def _untuned(results: pd.DataFrame, tuned: dict[str, Any]) -> dict[str, Any]:
    """The row of the cell that was tuned."""
    rows = records(results[results.tuning.isna()])
    return next(row for row in rows if all(row[name] == tuned[name] for name in BASE))
