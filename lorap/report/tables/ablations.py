"""Tables of cells that differ in one thing: a setting of the method, or the seed of the calibration."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from lorap.artifacts.specs import ReportSpec
from lorap.report.read.results import RECIPE
from lorap.report.read.scores import PERPLEXITY, SEVEN, score_measures
from lorap.report.tables.main_table import tuned_names
from lorap.report.tables.sourced import CELL, MEASURED, SOURCE, Origin, Table, with_origins

SETTINGS = [*RECIPE, "calibration"]
SEED_KEYS = ["model", "method", "sparsity", "tuned"]
SET = ["corpus", "nsamples", "seqlen"]  # of a calibration


def ablation(vary: list[str]) -> Callable[[ReportSpec, pd.DataFrame], Table]:
    """A table of the cells that differ from another cell only in the settings named in ``vary``."""
    fixed = ["model", "sparsity", *(name for name in SETTINGS if name not in vary)]

    def table(spec: ReportSpec, results: pd.DataFrame) -> Table:
        cells = compressed(results)
        cells = cells[cells.groupby(fixed, dropna=False)["method"].transform("size") > 1]
        cells = cells.sort_values([*fixed, *vary]).assign(**{SOURCE: MEASURED})
        values = value_measures(spec, cells)
        return with_origins(cells[[*fixed, *vary, *values, SOURCE, CELL]], values)

    return table


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
