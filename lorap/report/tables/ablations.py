"""Tables of cells that differ in one thing: a setting of the method, or the seed of the calibration."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from lorap.artifacts.specs import ReportSpec
from lorap.report.read.columns import PARTS, options_of, setting_columns
from lorap.report.read.scores import PERPLEXITY, SEVEN, score_measures
from lorap.report.tables.main_table import tuned_names
from lorap.report.tables.sourced import CELL, MEASURED, SOURCE, Origin, Table, with_origins

SEED_KEYS = ["model", "method", "sparsity", "tuned"]
SET = ["corpus", "nsamples", "seqlen"]  # of a calibration


def ablation(varied: Callable[[ReportSpec], list[str]]) -> Callable[[ReportSpec, pd.DataFrame], Table]:
    """A table of the cells that differ from another cell only in some settings.

    Args:
        varied: The settings that may differ. Where they name a sub-layer but not the options of its treatments, a
            treatment that lacks an option is compared with the first cell beside it that has it.
    """

    def table(spec: ReportSpec, results: pd.DataFrame) -> Table:
        vary, cells = varied(spec), compressed(results)
        settings = [*setting_columns(spec), "calibration"]
        options = [name for part in PARTS if part in vary for name in options_of(spec, part) if name not in vary]
        fixed = ["model", "sparsity", *(name for name in settings if name not in [*vary, *options])]
        cells = cells[_differs(cells, fixed, vary, options)].assign(**{SOURCE: MEASURED})
        cells = cells.sort_values([*fixed, *vary, *options])
        values = value_measures(spec, cells)
        return with_origins(cells[[*fixed, *vary, *options, *values, SOURCE, CELL]], values)

    return table


def _differs(cells: pd.DataFrame, fixed: list[str], vary: list[str], options: list[str]) -> "pd.Series[bool]":
    """Whether another cell has the same fixed settings and options, and is varied otherwise."""
    if not vary or cells.empty:
        return pd.Series(False, index=cells.index)
    kinds = cells.assign(kind=cells.groupby(vary, dropna=False).ngroup())
    if options:
        kinds = kinds.fillna(kinds.groupby(fixed, dropna=False)[options].transform("first"))
    return kinds.groupby([*fixed, *options], dropna=False)["kind"].transform("nunique") > 1


def seeds_table(spec: ReportSpec, results: pd.DataFrame) -> Table:
    """Mean, standard deviation and number of the cells that differ only in the seed of their calibration."""
    cells = results[results.method != "dense"].assign(tuned=tuned_names)
    sets = [spec.calibrate[name] for name in cells.calibration]
    cells = cells.assign(**{name: [getattr(chosen, name) for chosen in sets] for name in SET})
    rows: list[dict[str, Any]] = []
    origins: dict[tuple[int, str], Origin] = {}
    for key, group in cells.groupby([*SEED_KEYS, *SET], sort=False):
        if group.calibration.nunique() < 2:
            continue
        rows.append(dict(zip([*SEED_KEYS, *SET], key, strict=True)))
        for name, measure in value_measures(spec, cells).items():
            measured = group.dropna(subset=[name])
            statistics = {"mean": measured[name].mean(), "deviation": measured[name].std(), "n": len(measured)}
            rows[-1] |= {f"{name} {statistic}": value for statistic, value in statistics.items() if len(measured) > 1}
            origin = Origin(tuple(measured[CELL]), measure)
            origins |= {(len(rows) - 1, column): origin for column in rows[-1] if column.startswith(f"{name} ")}
    known = [*SEED_KEYS, *SET, *dict.fromkeys(column for row in rows for column in row)]
    return Table(pd.DataFrame(rows, columns=list(dict.fromkeys(known))), origins)


def compressed(results: pd.DataFrame) -> pd.DataFrame:
    """The cells that are compressed and not tuned."""
    return results[(results.method != "dense") & results.tuning.isna()]


def value_measures(spec: ReportSpec, cells: pd.DataFrame) -> dict[str, str]:
    """The columns of perplexity and of accuracy, the seven tasks by their mean, and what each is measured by."""
    found = {name: PERPLEXITY.format(name) for name in spec.perplexity}
    scores = {name: measure for name, measure in score_measures(spec).items() if name not in SEVEN}
    return found | {name: measure for name, measure in scores.items() if cells[name].notna().any()}
