"""The figures of a report by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lorap.artifacts import places
from lorap.artifacts.grid import ADAPTER
from lorap.artifacts.specs import ReportSpec
from lorap.report.figures.curves import perplexity_figure, tuning_figure, zeroshot_figure
from lorap.report.figures.style import finish, looks, panels, perplexity_axis
from lorap.report.read.results import is_main, read_layers, read_optional

Draw = Callable[[ReportSpec, pd.DataFrame, Path], Figure]
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
PARTS = ["attention", "FFN"]
ENERGY = 0.9
EVERY = 5  # layers between the markers of a curve


def allocation_figure(spec: ReportSpec, results: pd.DataFrame, folder: Path) -> Figure:
    """Perplexity against the allocation: a curve for every factorisation, at the highest sparsity of several."""
    figure, axes = panels(spec.grid.models, list(spec.perplexity))
    cells = results[
        is_main(spec, results) & results.tuning.isna() & (results.ffn == "prune") & (results.attention != "none")
    ]
    cells = cells[cells.groupby(["model", "sparsity", "keep_least"])["allocation"].transform("nunique") > 1]
    cells = cells[(cells.sparsity == cells.sparsity.max()) & (cells.keep_least == cells.keep_least.max())]
    for (model, protocol), axis in axes.items():
        groups = cells[cells.model == model].groupby("attention", sort=False)
        for (attention, rows), look in zip(groups, looks(), strict=False):
            curve = rows.sort_values("allocation")
            axis.plot(curve.allocation, curve[protocol], label=attention, **look)
        perplexity_axis(axis, f"perplexity\n{protocol}")
        ticks = sorted(cells.allocation.unique())
        axis.set_xticks(ticks, [f"{value:g}:1" for value in ticks])
        axis.set_xlabel(f"allocation, v and o : q and k; sparsity {cells.sparsity.max():g}")
    return finish(figure)


def pareto_figure(column: str, label: str, scale: float) -> Draw:
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


def error_figure(spec: ReportSpec, results: pd.DataFrame, folder: Path) -> Figure:
    """Mean weighted error of the attention's and the FFN's weights by layer, at the highest sparsity."""
    figure, axes = panels(spec.grid.models, PARTS)
    layers = read_layers(spec, folder)
    layers = layers[layers.sparsity == layers.sparsity.max()]
    styles = dict(zip(layers.method.unique(), looks(), strict=False))
    for (model, part), axis in axes.items():
        rows = layers[(layers.model == model) & (layers.projection.isin(ATTENTION) == (part == PARTS[0]))]
        rows = rows[rows.method.isin(_different(spec, part))]
        for place, (method, cell) in enumerate(rows.groupby("method", sort=False)):
            mean = cell.groupby("layer")["error"].mean()
            axis.plot(mean.index, mean, label=method, markevery=(place % EVERY, EVERY), **styles[method])
        axis.set(xlabel=f"layer (sparsity {layers.sparsity.max():g})", ylabel=f"relative error, {part}", ylim=(0, None))
    return finish(figure)


def spectra_figure(spec: ReportSpec, results: pd.DataFrame, folder: Path) -> Figure:
    """How much of its rank a weight needs to hold most of its weighted energy, by layer."""
    figure, axes = panels(spec.grid.models, PARTS)
    for (model, part), axis in axes.items():
        spectra = read_optional(folder / places.spectra(model)) or {"layers": []}
        names = [name for layer in spectra["layers"][:1] for name in layer]
        for place, (name, look) in enumerate(zip(names, looks(), strict=False)):
            if (name in ATTENTION) == (part == PARTS[0]):
                needed = [_needed(spectra["rank_fractions"], layer[name]) for layer in spectra["layers"]]
                axis.plot(needed, label=name, markevery=(place % EVERY, EVERY), **look)
        axis.set(xlabel="layer", ylabel=f"rank for {ENERGY:.0%}, {part}", ylim=(0, 1))
    return finish(figure)


FIGURES: dict[str, Draw] = {
    "perplexity": perplexity_figure,
    "zeroshot": zeroshot_figure,
    "tuning": tuning_figure,
    "allocation": allocation_figure,
    "pareto_parameters": pareto_figure("parameters", "parameters, millions", 1e6),
    "pareto_latency": pareto_figure("prefill_seconds_1", "prefill of one prompt, milliseconds", 1e-3),
    "error_by_layer": error_figure,
    "spectra": spectra_figure,
}


def _different(spec: ReportSpec, part: str) -> list[str]:
    """The methods that differ in what they do to a part; those that leave it alone are not among them."""
    found: dict[tuple[object, ...], str] = {}
    for name, method in spec.methods.items():
        if (method.attention if part == PARTS[0] else method.ffn) != "none":
            kind = (method.attention, method.allocation if part == PARTS[0] else method.ffn)
            found.setdefault(kind, name)
    return list(found.values())


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


def _needed(fractions: list[float], held: list[float]) -> float:
    """The share of the rank at which the energy is held, between the measured shares on a straight line."""
    return float(np.interp(ENERGY, held, fractions))
