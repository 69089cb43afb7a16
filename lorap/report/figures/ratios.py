"""A figure of what each method has of the first one's perplexity, by the text that was calibrated on."""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lorap.artifacts.specs import ReportSpec
from lorap.report.figures.style import ROW, finish, looks, panels, round_ticks
from lorap.report.tables.ratio_tables import DEVIATION, first_method, steps_table

MARGINS = 0.6  # inches of a panel that hold no method
FEWEST = 3  # methods that a panel has room for


def ratio_figure(spec: ReportSpec, results: pd.DataFrame, folder: Path) -> Figure:
    """A row for every method, a point for every text with the deviation over seeds as a bar; a panel for a sparsity."""
    table, first = steps_table(spec, results).frame, first_method(spec)
    texts = [name for name in table.columns if DEVIATION.format(name) in table.columns]
    others = table[table.method != first]
    sparsities = {f"sparsity {sparsity:g}": sparsity for sparsity in sorted(others.sparsity.unique())}
    figure, axes = panels(spec.grid.models, list(sparsities))
    figure.set_figheight(max(1, len(sparsities)) * (MARGINS + ROW * max(FEWEST, others.method.nunique())))
    for (model, panel), axis in axes.items():
        shown = others[(others.model == model) & (others.sparsity == sparsities.get(panel))]
        _draw(axis, shown, texts)
        axis.set(ylabel=panel, xlabel=f"perplexity over {first}'s")
    _share_range([axis for axis in figure.axes if axis.has_data()])
    return finish(figure)


def _draw(axis: Axes, methods: pd.DataFrame, texts: list[str]) -> None:
    """Methods from top to bottom, with the first one's 1 as a line."""
    if methods.empty:
        return
    rows = list(range(len(methods)))
    for text, look in zip(texts, looks(), strict=False):
        bars = methods[DEVIATION.format(text)].fillna(0)
        axis.errorbar(methods[text], rows, xerr=bars, label=text, **look | {"linestyle": ""})
    axis.axvline(1, color="0.4", linewidth=0.8)
    axis.set_yticks(rows, list(methods.method))
    axis.set_ylim(max(FEWEST, len(rows)) - 0.5, -0.5)


def _share_range(axes: list[Axes]) -> None:
    """One logarithmic range for all panels."""
    low = min((axis.dataLim.x0 for axis in axes), default=1) / 1.05
    high = max((axis.dataLim.x1 for axis in axes), default=1) * 1.05
    for axis in axes:
        axis.set_xscale("log")
        axis.set_xlim(low, high)
        round_ticks(axis.xaxis, low, high)
