"""Plots of what the benchmarks found."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

KINDS = {"plain procedure": "plain", "lorap, float32": "lorap\nfloat32", "lorap, bfloat16 passes": "lorap\nbfloat16"}
COLOURS = {
    "whole": "#b8b8b8",
    "reading": "#9ecae1",
    "passes": "#3182bd",
    "factorisation": "#e6550d",
    "other": "#fdae6b",
    "writing": "#74c476",
}
BAR, GAP = 0.25, 0.29  # width of a bar, and from one to the next; of 1 for each group


def draw_widths(found: dict[str, Any], path: Path) -> None:
    """A group of bars for each width: the time of every kind of work, in dense passes."""
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.subplots()
    places, names = [], []
    for group, (width, kinds) in enumerate(found["widths"].items()):
        for number, (kind, name) in enumerate(KINDS.items()):
            places.append(group + (number - 1) * GAP)
            names.append(name if number != 1 else f"{name}\n\nwidth {width}")
            _stack(axes, places[-1], kinds[kind])
    axes.axhline(1, color="black", linewidth=0.8, linestyle=":")
    axes.set_xticks(places, names, fontsize="small")
    axes.set_ylabel("time, in dense float32 passes")
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    axes.legend(once.values(), once.keys(), frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def _stack(axes: Axes, place: float, parts: dict[str, float]) -> None:
    """One bar, of the parts that it has."""
    bottom = 0.0
    for part, colour in COLOURS.items():
        if part in parts:
            axes.bar(place, parts[part], BAR, bottom, color=colour, label=part)
            bottom += parts[part]
