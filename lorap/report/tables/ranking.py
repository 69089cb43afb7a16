"""All methods at each sparsity: those of one budget in a ranking, those of another one apart from it."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lorap.artifacts.specs import ReportSpec
from lorap.report.read.columns import domain_of, needs_gradients
from lorap.report.read.effort import EFFORT, read_effort
from lorap.report.read.removed_share import REMOVED, on_budget
from lorap.report.read.scores import ALL_TEXTS, COMPRESSING, COST
from lorap.report.tables.ablations import SET, value_measures
from lorap.report.tables.main_table import tuned_names
from lorap.report.tables.ratio_tables import COUNT, DEVIATION, TOGETHER
from lorap.report.tables.sourced import CELL, Origin, Table

ALIKE = ["sparsity", "tuned", "model", *SET]  # what the methods of one ranking have in common
RANK, GRADIENTS, IN_DOMAIN = "rank", "gradients", "in domain"
LATENCY = "prefill s"  # of the smallest batch
UNVARIED = (COST, COMPRESSING)  # measures whose deviation over seeds says nothing


def ranking_table(spec: ReportSpec, results: pd.DataFrame, folder: Path) -> Table:
    """The methods that have lost what their sparsity says, best first by the geometric mean of their perplexities."""
    return _table(spec, results, folder, ranked=True)


def unranked_table(spec: ReportSpec, results: pd.DataFrame, folder: Path) -> Table:
    """The other methods, with the share that they have lost; also those of which it or a perplexity is not known."""
    return _table(spec, results, folder, ranked=False)


def _table(spec: ReportSpec, results: pd.DataFrame, folder: Path, ranked: bool) -> Table:
    cells = _cells(spec, results, folder)
    measures = _measures(spec, cells)
    rows: list[dict[str, Any]] = []
    origins: dict[tuple[int, str], Origin] = {}
    for key, group in cells.groupby(ALIKE, sort=False):
        if group.method.nunique() < 2:
            continue
        methods = _means(group)
        chosen = on_budget(methods[REMOVED].where(methods[TOGETHER].notna()), float(methods.sparsity.iloc[0]))
        for place, method in enumerate(methods[chosen == ranked].index, 1):
            seeds = group[group.method == method]
            row = dict(zip(ALIKE, key, strict=True)) | ({RANK: place} if ranked else {})
            row |= {"method": method, **_said(spec, str(method), seeds)}
            for name, measure in measures.items():
                found = {name: seeds[name].mean()}
                found |= {DEVIATION.format(name): seeds[name].std()} if measure not in UNVARIED else {}
                origins |= {(len(rows), column): _origin(seeds, name, measure) for column in found}
                row |= found
            rows.append(row)
    table = Table(pd.DataFrame(rows, columns=_columns(measures, ranked)), origins)
    return table if table.frame.empty else replace(table, frame=table.frame.dropna(axis="columns", how="all"))


def _cells(spec: ReportSpec, results: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The compressed cells in the order of their rankings, with what one is ranked by and what making it took."""
    cells = results[results.method != "dense"].assign(tuned=tuned_names)
    sets = [spec.calibrate[name] for name in cells.calibration]
    cells = cells.assign(**{name: [getattr(chosen, name) for chosen in sets] for name in SET})
    together = np.exp(cells[[*spec.perplexity]].map(math.log).mean(axis=1, skipna=False))
    prefill = [name for name in cells.columns if name.startswith("prefill_seconds_")][:1]
    cells = cells.rename(columns=dict.fromkeys(prefill, LATENCY)).assign(**{TOGETHER: together})
    cells = cells.join(read_effort(spec, folder), on=CELL)
    cells = cells.reindex(columns=[*cells.columns.union([LATENCY], sort=False)])
    return cells.sort_values(["sparsity", "tuned", "model"], kind="stable")


def _measures(spec: ReportSpec, cells: pd.DataFrame) -> dict[str, str]:
    """The columns of numbers, and what each is measured by."""
    together = {TOGETHER: ALL_TEXTS} if len(spec.perplexity) > 1 else {}
    costs = dict.fromkeys(["parameters", "macs", LATENCY], COST)
    return {REMOVED: COST} | together | value_measures(spec, cells) | costs | dict.fromkeys(EFFORT, COMPRESSING)


def _means(group: pd.DataFrame) -> pd.DataFrame:
    """Of each method over the seeds, best first: what it has lost and what it is ranked by."""
    means = group.groupby("method", sort=False)[["sparsity", REMOVED, TOGETHER]].mean()
    return means.sort_values(TOGETHER, kind="stable")


def _said(spec: ReportSpec, method: str, seeds: pd.DataFrame) -> dict[str, Any]:
    """What a method wants, the texts whose domain it was calibrated in, and how many calibrations there are."""
    corpus = seeds.corpus.iloc[0]
    texts = [name for name, text in spec.perplexity.items() if domain_of(spec, text.corpus) == domain_of(spec, corpus)]
    gradients = "yes" if needs_gradients(spec.methods[method]) else "no"
    return {GRADIENTS: gradients, IN_DOMAIN: ", ".join(texts) or "no", COUNT: seeds[TOGETHER].count()}


def _columns(measures: dict[str, str], ranked: bool) -> list[str]:
    said = [*([RANK] if ranked else []), "method", GRADIENTS, IN_DOMAIN, COUNT]
    numbers = {
        name: [name] if measure in UNVARIED else [name, DEVIATION.format(name)] for name, measure in measures.items()
    }
    return [*ALIKE, *said, *(column for columns in numbers.values() for column in columns)]


def _origin(seeds: pd.DataFrame, name: str, measure: str) -> Origin:
    return Origin(tuple(seeds.dropna(subset=[name])[CELL]), measure)
