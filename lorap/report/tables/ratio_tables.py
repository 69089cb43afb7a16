"""Perplexity over that of the grid's first method with the same windows, and what each part of a method adds to it."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from lorap.artifacts.grid import compressed_cells
from lorap.artifacts.specs import ReportSpec
from lorap.methods.registry import SLOTS
from lorap.report.read.columns import parts_of
from lorap.report.read.scores import ALL_TEXTS, PERPLEXITY
from lorap.report.tables.ablations import SEED_KEYS, SET
from lorap.report.tables.main_table import tuned_names
from lorap.report.tables.sourced import CELL, Origin, Table

TOGETHER = "all texts"
DEVIATION = "{} deviation"
COUNT = "calibrations"
ALIKE = ["model", "sparsity", "tuned", "calibration"]  # what two cells have in common whose methods are compared
BASE = "{} of the first method"
STEP_KEYS = ["model", "sparsity", "method"]


def ratio_table(spec: ReportSpec, results: pd.DataFrame) -> Table:
    """By calibration and sparsity: each text's ratio, and their geometric mean with its deviation over seeds."""
    ratios = with_first(spec, results, list(spec.perplexity))
    ratios = _ratios(spec, ratios[ratios.method != first_method(spec)])
    texts = list(spec.perplexity)
    rows: list[dict[str, Any]] = []
    origins: dict[tuple[int, str], Origin] = {}
    for key, group in ratios.groupby([*SEED_KEYS, *SET], sort=False):
        means = {name: group[name].mean() for name in [*texts, TOGETHER]}
        spread = {DEVIATION.format(TOGETHER): group[TOGETHER].std(), COUNT: group[TOGETHER].count()}
        origins |= {(len(rows), text): _origin(group, text, PERPLEXITY.format(text)) for text in texts}
        origins |= {(len(rows), name): _origin(group, TOGETHER, ALL_TEXTS) for name in (TOGETHER, *spread)}
        rows.append(dict(zip([*SEED_KEYS, *SET], key, strict=True)) | means | spread)
    return Table(pd.DataFrame(rows, columns=[*SEED_KEYS, *SET, *texts, TOGETHER, *spread_names()]), origins)


def steps_table(spec: ReportSpec, results: pd.DataFrame) -> Table:
    """The parts of every method, and the same mean ratio for each calibration text, with its deviation over seeds."""
    untuned = results[results.tuning.isna()]
    ratios = _ratios(spec, with_first(spec, untuned, list(spec.perplexity)))
    ratios = ratios[ratios.groupby(["model", "sparsity"])["method"].transform("nunique") > 1]
    sets = _labels(spec)
    ratios = ratios.assign(order=ratios.method.map(_methods(spec).index), set=ratios.calibration.map(sets))
    rows: list[dict[str, Any]] = []
    origins: dict[tuple[int, str], Origin] = {}
    for key, group in ratios.sort_values(["model", "sparsity", "order"]).groupby(STEP_KEYS, sort=False):
        row: dict[str, Any] = dict(zip(STEP_KEYS, key, strict=True))
        row |= parts_of(spec, spec.methods[row["method"]])
        for name, cells in group.groupby("set"):
            found = {str(name): cells[TOGETHER].mean(), DEVIATION.format(name): cells[TOGETHER].std()}
            origins |= {(len(rows), column): _origin(cells, TOGETHER, ALL_TEXTS) for column in found}
            row |= found
        rows.append(row)
    known = [column for name in dict.fromkeys(sets.values()) for column in (name, DEVIATION.format(name))]
    used = {name for row in rows for name in row}
    return Table(pd.DataFrame(rows, columns=[*STEP_KEYS, *SLOTS, *(name for name in known if name in used)]), origins)


def with_first(spec: ReportSpec, results: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """The compressed cells that have the first method beside them, with its cell and columns: ``BASE`` of each.

    They are in the order of their calibration text, sparsity and method; ``tuned`` and what a calibration is are added.
    """
    cells = results[results.method != "dense"].assign(tuned=tuned_names)
    sets = [spec.calibrate[name] for name in cells.calibration]
    cells = cells.assign(**{name: [getattr(chosen, name) for chosen in sets] for name in SET})
    first = cells[cells.method == first_method(spec)]
    renamed = first[[*ALIKE, CELL, *columns]].rename(columns={name: BASE.format(name) for name in (CELL, *columns)})
    both = cells.merge(renamed, on=ALIKE)
    named = {"corpus": list(dict.fromkeys(chosen.corpus for chosen in sets)), "method": _methods(spec)}
    keys = ["model", "tuned", "corpus", "sparsity", "method"]
    return both.sort_values(keys, key=lambda c: c.map(named[c.name].index) if c.name in named else c, kind="stable")


def first_method(spec: ReportSpec) -> str | None:
    """The method that a grid names first, which others are compared with; None where it has none."""
    return next(iter(_methods(spec)), None)


def spread_names() -> list[str]:
    """The columns of how much a mean is worth."""
    return [DEVIATION.format(TOGETHER), COUNT]


def _methods(spec: ReportSpec) -> list[str]:
    return list(dict.fromkeys(str(cell.method) for cell in compressed_cells(spec.grid)))


def _ratios(spec: ReportSpec, cells: pd.DataFrame) -> pd.DataFrame:
    """The cells with ratios in place of their perplexities; the mean is of cells that have all of them."""
    texts = list(spec.perplexity)
    ratios = pd.DataFrame({text: cells[text] / cells[BASE.format(text)] for text in texts}, index=cells.index)
    together = np.exp(ratios.map(math.log).mean(axis=1, skipna=False))
    return cells.assign(**{text: ratios[text] for text in texts}, **{TOGETHER: together})


def _labels(spec: ReportSpec) -> dict[str, str]:
    """What each calibration is called beside others: its text, with its size where the grid has several of that."""
    sizes: dict[str, set[tuple[int, int]]] = {}
    for chosen in spec.calibrate.values():
        sizes.setdefault(chosen.corpus, set()).add((chosen.nsamples, chosen.seqlen))
    return {
        name: one.corpus if len(sizes[one.corpus]) == 1 else f"{one.corpus} {one.nsamples}x{one.seqlen}"
        for name, one in spec.calibrate.items()
    }


def _origin(cells: pd.DataFrame, column: str, measure: str) -> Origin:
    measured = cells.dropna(subset=[column])
    paths: Iterable[str] = [*measured[CELL], *measured[BASE.format(CELL)]]
    return Origin(tuple(dict.fromkeys(paths)), measure)
