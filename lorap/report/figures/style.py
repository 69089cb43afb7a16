"""One style for all figures: legible at the width of a paper's column, told apart by marker and line, not by shade."""

import io
import math
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

mpl.use("Agg")

STYLE: Any = {
    "figure.constrained_layout.use": True,
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "0.9",
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "svg.hashsalt": "lorap",
}
WIDTH, HEIGHT = 3.3, 2.1  # inches of a panel: a column of a two-column paper
COLORS = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#777777")  # Okabe and Ito
LINES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "d", "H")
EVERY = 5  # layers between the markers of a curve over the layers
CHARACTERS = 52  # of a legend that fit beside each other in a panel's width
ROW = 0.16  # inches of a row of a legend


def looks() -> Iterator[dict[str, Any]]:
    """Colour, line and marker of one curve after the other."""
    kinds = zip(cycle(COLORS), cycle(LINES), cycle(MARKERS), strict=False)
    return ({"color": color, "linestyle": line, "marker": marker} for color, line, marker in kinds)


def panels(models: list[str], rows: list[str]) -> tuple[Figure, dict[tuple[str, str], Axes]]:
    """Panels below each other, a column of them for every model, each as wide as a column of a paper."""
    rows = rows or [""]
    figure = Figure(figsize=(WIDTH * len(models), HEIGHT * len(rows)))
    grid = figure.subplots(len(rows), len(models), squeeze=False)
    found = {(m, r): grid[row][column] for column, m in enumerate(models) for row, r in enumerate(rows)}
    for (model, row), axis in found.items():
        axis.set_title(model if row == rows[0] else "")
    return figure, found


def finish(figure: Figure) -> Figure:
    """Names the curves of all panels above them, each once; says so where there is nothing to show."""
    named: dict[str, Any] = {}
    for axis in figure.axes:
        handles, labels = axis.get_legend_handles_labels()
        named |= dict(zip(labels, handles, strict=True))
        if not axis.has_data():
            axis.text(0.5, 0.5, "not measured", transform=axis.transAxes, ha="center", color="0.4")
            axis.set(xticks=[], yticks=[])
    if named:
        fit = int(CHARACTERS * figure.get_figwidth() / WIDTH / (max(map(len, named)) + 8))
        columns = max(1, min(fit, len(named)))
        figure.set_figheight(figure.get_figheight() + ROW * math.ceil(len(named) / columns))
        figure.legend(named.values(), named.keys(), loc="outside upper center", ncols=columns)
    return figure


def perplexity_axis(axis: Axes, label: str) -> None:
    """Logarithmic, with a handful of round numbers for ticks, however far the values range."""
    axis.set_ylabel(label)
    low, high = axis.dataLim.intervaly
    if not 0 < low <= high < float("inf"):
        return
    axis.set_yscale("log")
    round_ticks(axis.yaxis, low, high)


def round_ticks(side: Axis, low: float, high: float) -> None:
    """A handful of round numbers for the ticks of a logarithmic axis whose values range so far."""
    steps = (1.0, 2.0, 5.0) if high < 100 * low else (1.0,)
    if high < 5 * low:
        side.set_major_locator(FixedLocator(_linear_ticks(low, high)))
    else:
        side.set_major_locator(LogLocator(subs=steps, numticks=12))
    side.set_minor_locator(NullLocator())
    side.set_minor_formatter(NullFormatter())
    side.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))


def write_figure(figure: Figure, stem: Path, dpi: int) -> None:
    """Writes ``stem``.png and .pdf, without the time of day in them; the figure is laid out once for all its forms."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    figure.savefig(stem.with_suffix(".png"), dpi=dpi, metadata={"Software": None})
    figure.savefig(stem.with_suffix(".pdf"), metadata={"CreationDate": None, "Producer": None, "Creator": None})


def as_svg(figure: Figure) -> bytes:
    """The figure for a page, without a ground, a time of day or a version in it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _linear_ticks(low: float, high: float) -> list[float]:
    if low == high:
        return [low]
    return list(mpl.ticker.MaxNLocator(nbins=5, steps=[1, 2, 5, 10]).tick_values(low, high))


def _short(value: float) -> str:
    """A number for an axis: 20, 1k, 1M."""
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{name}"
    return f"{value:g}"
