"""The figures of a report: one style, told apart by marker and line as well as by shade."""

from collections.abc import Callable, Hashable, Iterator
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
    """Perplexity against sparsity: a panel for every text, a curve for every method."""
    figure, axes = _panels(len(spec.perplexity))
    main = results[(results.method == "dense") | (results.calibration == spec.grid.calibration)]
    for axis, protocol in zip(axes, spec.perplexity, strict=True):
        for (model, method), look in zip(_curves(main), looks(), strict=False):
            rows = main[(main.model == model) & main.method.isin(["dense", method])].sort_values("sparsity")
            axis.plot(rows.sparsity, rows[protocol], label=_label(spec, model, method), **look)
        _log_perplexity(axis, protocol)
        axis.set_xlabel("sparsity")
    return _with_legend(figure, axes[0])


def allocation_figure(spec: ReportSpec, results: pd.DataFrame, folder: Path) -> Figure:
    """Perplexity against the allocation, a curve for every factorisation, at the highest sparsity of several."""
    figure, axes = _panels(len(spec.perplexity))
    cells = results[(results.calibration == spec.grid.calibration) & (results.ffn == "prune")]
    cells = cells[cells.groupby(["model", "sparsity", "attention"])["allocation"].transform("nunique") > 1]
    cells = cells[cells.sparsity == cells.sparsity.max()]
    for axis, protocol in zip(axes, spec.perplexity, strict=True):
        groups = cells.groupby(["model", "attention"], sort=False)
        for ((model, attention), rows), look in zip(groups, looks(), strict=False):
            rows = rows.sort_values("allocation")
            axis.plot(rows.allocation, rows[protocol], label=_label(spec, model, attention), **look)
        axis.set(xlabel="allocation (v and o : q and k)", ylabel=f"perplexity, {protocol}")
        axis.set_title(f"sparsity {cells.sparsity.max():g}" if len(cells) else "no cells", fontsize=8)
    return _with_legend(figure, axes[0])


def pareto_figure(column: str, label: str, scale: float) -> Callable[[ReportSpec, pd.DataFrame, Path], Figure]:
    """A figure of perplexity against a cost: a point for every cell, the front as a line."""

    def draw(spec: ReportSpec, results: pd.DataFrame, folder: Path) -> Figure:
        figure, axes = _panels(len(spec.perplexity))
        if column not in results:
            return figure
        for axis, protocol in zip(axes, spec.perplexity, strict=True):
            groups = results.groupby(["model", "method"], sort=False)
            for ((model, method), rows), look in zip(groups, looks(), strict=False):
                points = {"c": look["color"], "marker": look["marker"], "label": _label(spec, model, method)}
                axis.scatter(rows[column] / scale, rows[protocol], **points)
            front = _front(results, column, protocol)
            axis.step(front[column] / scale, front[protocol], where="post", color="0.6", linewidth=0.8, zorder=0)
            _log_perplexity(axis, protocol)
            axis.set_xlabel(label)
        return _with_legend(figure, axes[0])

    return draw


def error_figure(spec: ReportSpec, results: pd.DataFrame, folder: Path) -> Figure:
    """Mean weighted error of the attention's and the FFN's weights by layer, at the highest sparsity."""
    figure, axes = _panels(2)
    layers = read_layers(spec, folder)
    layers = layers[layers.sparsity == layers.sparsity.max()]
    styles = dict(zip(layers.groupby(["model", "method"], sort=False).groups, looks(), strict=False))
    for axis, name in zip(axes, ("attention", "FFN"), strict=True):
        rows = layers[layers.projection.isin(ATTENTION) == (name == "attention")]
        for (model, method), cell in rows.groupby(["model", "method"], sort=False):
            mean = cell.groupby("layer")["error"].mean()
            axis.plot(mean.index, mean, label=_label(spec, model, method), markevery=4, **styles[model, method])
        axis.set(xlabel="layer", ylabel="relative error of the weights", ylim=(0, None))
        axis.set_title(f"{name}, sparsity {layers.sparsity.max():g}", fontsize=8)
    return _with_legend(figure, axes[0])


def spectra_figure(spec: ReportSpec, results: pd.DataFrame, folder: Path) -> Figure:
    """How much of its rank a weight needs to hold most of its weighted energy, by layer; a panel for every model."""
    figure, axes = _panels(len(spec.grid.models))
    for axis, model in zip(axes, spec.grid.models, strict=True):
        spectra = read_optional(folder / "evaluate" / model / "spectra.json")
        if spectra is None:
            continue
        for name, look in zip(spectra["layers"][0], looks(), strict=False):
            needed = [_needed(spectra["rank_fractions"], layer[name]) for layer in spectra["layers"]]
            look["linestyle"] = "-" if name in ATTENTION else "--"
            axis.plot(needed, label=name, markevery=4, **look)
        axis.set(xlabel="layer", ylabel=f"share of the rank for {ENERGY:.0%} of the energy", ylim=(0, None))
        axis.set_title(model, fontsize=8)
    return _with_legend(figure, axes[0])


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


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(3.4 * count, 2.8))
    return figure, list(figure.subplots(1, count, squeeze=False)[0])


def _with_legend(figure: Figure, axis: Axes) -> Figure:
    """The figure with the curves of one panel named above all of them."""
    handles, labels = axis.get_legend_handles_labels()
    if handles:
        columns = 2 if len(figure.axes) == 1 else 4
        figure.legend(handles, labels, loc="outside upper center", ncols=columns, fontsize=7)
    return figure


def _curves(main: pd.DataFrame) -> list[tuple[str, str]]:
    """(model, method) of every compressed curve, those with most points first."""
    sizes = main[main.method != "dense"].groupby(["model", "method"], sort=False).size()
    return list(sizes.sort_values(ascending=False, kind="stable").index)


def _label(spec: ReportSpec, model: Hashable, name: Hashable) -> str:
    return str(name) if len(spec.grid.models) == 1 else f"{model} {name}"


def _log_perplexity(axis: Axes, protocol: str) -> None:
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.set_ylabel(f"perplexity, {protocol}")


def _front(results: pd.DataFrame, column: str, protocol: str) -> pd.DataFrame:
    """The cells that no cheaper cell beats."""
    ordered = results.dropna(subset=[column, protocol]).sort_values(column)
    return ordered[ordered[protocol].cummin() == ordered[protocol]]


def _needed(fractions: list[float], held: list[float]) -> float:
    """The first of the rank fractions that holds the energy."""
    return next(fraction for fraction, energy in zip(fractions, held, strict=True) if energy >= ENERGY)
