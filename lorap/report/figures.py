"""The figures of a report: one style, told apart by marker and line as well as by shade."""

from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from lorap.report.results import read_layers, read_optional
from lorap.specs import ReportSpec

mpl.use("Agg")

STYLE: Any = {
    "figure.constrained_layout.use": True,
    "font.size": 8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "0.9",
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "legend.frameon": False,
    "svg.hashsalt": "lorap",
}
LOOKS = [("#000000", "-", "o"), ("#0072b2", "--", "s"), ("#d55e00", "-.", "^"), ("#009e73", ":", "D"),
         ("#cc79a7", "--", "v"), ("#56b4e9", "-.", "P"), ("#e69f00", ":", "X"), ("#777777", "-", "*")]  # fmt: skip
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
ENERGY = 0.9


def looks() -> Iterator[dict[str, Any]]:
    """Colour, line and marker of one curve after the other."""
    return ({"color": color, "linestyle": line, "marker": marker} for color, line, marker in cycle(LOOKS))


def perplexity_figure(spec: ReportSpec, results: pd.DataFrame, folder: Path) -> Figure:
    """Perplexity against sparsity: a curve for every method."""
    figure, panels = _panels(spec.grid.models, list(spec.perplexity))
    main = results[(results.method == "dense") | (results.calibration == spec.grid.calibration)]
    for (model, protocol), axis in panels.items():
        rows = main[main.model == model]
        for method, look in zip(_by_points(rows), looks(), strict=False):
            curve = rows[rows.method.isin(["dense", method])].sort_values("sparsity")
            axis.plot(curve.sparsity, curve[protocol], label=method, **look)
        _perplexity_axis(axis, protocol)
        axis.set_xlabel("sparsity")
    return _with_legend(figure)


def allocation_figure(spec: ReportSpec, results: pd.DataFrame, folder: Path) -> Figure:
    """Perplexity against the allocation: a curve for every factorisation, at the highest sparsity of several."""
    figure, panels = _panels(spec.grid.models, list(spec.perplexity))
    cells = results[(results.calibration == spec.grid.calibration) & (results.ffn == "prune")]
    cells = cells[cells.groupby(["model", "sparsity", "attention"])["allocation"].transform("nunique") > 1]
    cells = cells[cells.sparsity == cells.sparsity.max()]
    for (model, protocol), axis in panels.items():
        groups = cells[cells.model == model].groupby("attention", sort=False)
        for (attention, rows), look in zip(groups, looks(), strict=False):
            curve = rows.sort_values("allocation")
            axis.plot(curve.allocation, curve[protocol], label=attention, **look)
        _perplexity_axis(axis, protocol)
        axis.set_xlabel("allocation (v and o : q and k)")
        axis.set_title(f"{model}, sparsity {cells.sparsity.max():g}" if len(cells) else model, fontsize=8)
    return _with_legend(figure)


def pareto_figure(column: str, label: str, scale: float) -> Callable[[ReportSpec, pd.DataFrame, Path], Figure]:
    """A figure of perplexity against a cost: a point for every cell, the front as a line."""

    def draw(spec: ReportSpec, results: pd.DataFrame, folder: Path) -> Figure:
        figure, panels = _panels(spec.grid.models, list(spec.perplexity))
        for (model, protocol), axis in panels.items():
            rows = results[results.model == model].reindex(columns=[*results.columns.union([column])])
            for (method, points), look in zip(rows.groupby("method", sort=False), looks(), strict=False):
                marks = {"c": look["color"], "marker": look["marker"], "label": method}
                axis.scatter(points[column] / scale, points[protocol], **marks)
            front = _front(rows, column, protocol)
            axis.step(front[column] / scale, front[protocol], where="post", color="0.6", linewidth=0.8, zorder=0)
            _perplexity_axis(axis, protocol)
            axis.set_xlabel(label)
        return _with_legend(figure)

    return draw


def error_figure(spec: ReportSpec, results: pd.DataFrame, folder: Path) -> Figure:
    """Mean weighted error of the attention's and the FFN's weights by layer, at the highest sparsity."""
    figure, panels = _panels(spec.grid.models, ["attention", "FFN"])
    layers = read_layers(spec, folder)
    layers = layers[layers.sparsity == layers.sparsity.max()]
    styles = dict(zip(layers.method.unique(), looks(), strict=False))
    for (model, part), axis in panels.items():
        rows = layers[(layers.model == model) & (layers.projection.isin(ATTENTION) == (part == "attention"))]
        for method, cell in rows.groupby("method", sort=False):
            mean = cell.groupby("layer")["error"].mean()
            axis.plot(mean.index, mean, label=method, markevery=4, **styles[method])
        axis.set(xlabel="layer", ylabel="relative error of the weights", ylim=(0, None))
        axis.set_title(f"{part}, sparsity {layers.sparsity.max():g}, {model}", fontsize=8)
    return _with_legend(figure)


def spectra_figure(spec: ReportSpec, results: pd.DataFrame, folder: Path) -> Figure:
    """How much of its rank a weight needs to hold most of its weighted energy, by layer."""
    figure, panels = _panels(spec.grid.models, [""])
    for (model, _), axis in panels.items():
        spectra = read_optional(folder / "evaluate" / model / "spectra.json") or {"layers": []}
        for name, look in zip(spectra["layers"][0] if spectra["layers"] else (), looks(), strict=False):
            needed = [_needed(spectra["rank_fractions"], layer[name]) for layer in spectra["layers"]]
            look["linestyle"] = "-" if name in ATTENTION else "--"
            axis.plot(needed, label=name, markevery=4, **look)
        axis.set(xlabel="layer", ylabel=f"share of the rank for {ENERGY:.0%} of the energy", ylim=(0, None))
    return _with_legend(figure)


FIGURES: dict[str, Callable[[ReportSpec, pd.DataFrame, Path], Figure]] = {
    "perplexity": perplexity_figure,
    "allocation": allocation_figure,
    "pareto_parameters": pareto_figure("parameters", "parameters, millions", 1e6),
    "pareto_latency": pareto_figure("prefill_seconds_1", "prefill of one prompt, milliseconds", 1e-3),
    "error_by_layer": error_figure,
    "spectra": spectra_figure,
}


def write_figure(figure: Figure, stem: Path, dpi: int) -> None:
    """Writes ``stem``.png and .pdf, without the time of day in them."""
    figure.savefig(stem.with_suffix(".png"), dpi=dpi, metadata={"Software": None})
    figure.savefig(stem.with_suffix(".pdf"), metadata={"CreationDate": None, "Producer": None, "Creator": None})


def _panels(models: list[str], columns: list[str]) -> tuple[Figure, dict[tuple[str, str], Axes]]:
    """A row of panels for every model, a column for every text or part."""
    figure = Figure(figsize=(3.4 * len(columns), 2.8 * len(models)))
    grid = figure.subplots(len(models), len(columns), squeeze=False)
    panels = {(m, c): grid[row][column] for row, m in enumerate(models) for column, c in enumerate(columns)}
    for (model, _), axis in panels.items():
        axis.set_title(model, fontsize=8)
    return figure, panels


def _with_legend(figure: Figure) -> Figure:
    """The figure with the curves of its panels named above them, each name once."""
    named: dict[str, Any] = {}
    for axis in figure.axes:
        handles, labels = axis.get_legend_handles_labels()
        named |= dict(zip(labels, handles, strict=True))
    if named:
        columns = 2 if figure.get_figwidth() < 4 else 4
        figure.legend(named.values(), named.keys(), loc="outside upper center", ncols=columns, fontsize=7)
    return figure


def _by_points(rows: pd.DataFrame) -> list[str]:
    """The compressed methods, those with most points first."""
    sizes = rows[rows.method != "dense"].groupby("method", sort=False).size()
    return list(sizes.sort_values(ascending=False, kind="stable").index)


def _perplexity_axis(axis: Axes, protocol: str) -> None:
    """Logarithmic where the values span more than a factor of ten."""
    low, high = axis.dataLim.intervaly
    if high > 10 * low:
        axis.set_yscale("log")
        axis.yaxis.set_minor_formatter(NullFormatter())
    axis.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axis.set_ylabel(f"perplexity, {protocol}")


def _front(results: pd.DataFrame, column: str, protocol: str) -> pd.DataFrame:
    """The cells that no cheaper cell beats."""
    ordered = results.dropna(subset=[column, protocol]).sort_values(column)
    return ordered[ordered[protocol].cummin() == ordered[protocol]]


def _needed(fractions: list[float], held: list[float]) -> float:
    """The first of the rank fractions that holds the energy."""
    return next(fraction for fraction, energy in zip(fractions, held, strict=True) if energy >= ENERGY)
