"""Figures of perplexity against what a model costs, with the front of the cells that no cheaper one beats."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from lorap.artifacts.grid import ADAPTER
from lorap.artifacts.specs import ReportSpec
from lorap.report.figures.style import finish, looks, panels, perplexity_axis
from lorap.report.read.results import is_main


def pareto_figure(column: str, label: str, scale: float) -> Callable[[ReportSpec, pd.DataFrame, Path], Figure]:
    """A figure of perplexity against a cost: a point for every cell that one would keep, the front as a line."""

    def draw(spec: ReportSpec, results: pd.DataFrame, folder: Path) -> Figure:
        figure, axes = panels(spec.grid.models, list(spec.perplexity))
        kept = results[is_main(spec, results) & (results.kept_as != ADAPTER)]
        kept = kept.reindex(columns=[*kept.columns.union([column])])
        for (model, protocol), axis in axes.items():
            rows = kept[kept.model == model].dropna(subset=[column, protocol])
            for name, points, look in _clouds(rows):
                axis.plot(points[column] / scale, points[protocol], label=name, **look)
            front = _front(rows, column, protocol)
            axis.step(front[column] / scale, front[protocol], where="post", color="0.6", linewidth=0.8, zorder=0)
            perplexity_axis(axis, f"perplexity\n{protocol}")
            axis.set_xlabel(label)
        return finish(figure)

    return draw


def _clouds(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame, dict[str, Any]]]:
    """The points of every method, without and with tuning: name, rows, marker."""
    clouds = []
    for (method, points), look in zip(rows.groupby("method", sort=False), looks(), strict=False):
        look["linestyle"] = ""
        for tuned in (False, True):
            part = points[points.tuning.notna() == tuned]
            if len(part):
                hollow = {"markerfacecolor": "white"} if tuned else {}
                clouds.append((f"{method} tuned" if tuned else str(method), part, look | hollow))
    return clouds


def _front(results: pd.DataFrame, column: str, protocol: str) -> pd.DataFrame:
    """The cells that no cheaper cell beats."""
    ordered = results.sort_values(column)
    return ordered[ordered[protocol].cummin() == ordered[protocol]]
