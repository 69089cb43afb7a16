"""A figure of what each method takes from which layer: heads, channels, and the rank of what is left."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from lorap.artifacts.grid import Cell, compressed_cells
from lorap.artifacts.kept import UNITS, has_plans, taken_shares
from lorap.artifacts.places import output
from lorap.artifacts.specs import ReportSpec
from lorap.report.figures.style import EVERY, finish, looks, panels

LONGEST = 40  # characters of a label
Taken = list[dict[str, float]]  # the share of every unit, layer by layer


def taken_figure(spec: ReportSpec, results: pd.DataFrame, folder: Path) -> Figure:
    """A curve for every way of taking, at the highest sparsity; what nobody takes has no panel."""
    cells = [cell for cell in compressed_cells(spec.grid) if cell.calibration == spec.grid.calibration]
    highest = max((cell.sparsity for cell in cells), default=0)
    models = {model: _read(folder, [cell for cell in cells if (cell.model, cell.sparsity) == (model, highest)])
              for model in spec.grid.models}  # fmt: skip
    every = [layer for found in models.values() for taken in found.values() for layer in taken]
    figure, axes = panels(spec.grid.models, [unit for unit in UNITS if any(layer[unit] > 0 for layer in every)])
    styles = dict(zip(dict.fromkeys(label for found in models.values() for label in found), looks(), strict=False))
    for (model, unit), axis in axes.items():
        for place, (label, taken) in enumerate(models[model].items()):
            curve = [layer.get(unit, 0) for layer in taken]
            if any(curve):
                axis.plot(curve, label=label, markevery=(place % EVERY, EVERY), **styles[label])
        axis.set(xlabel=f"layer (sparsity {highest:g})", ylabel=f"share taken\n{unit}", ylim=(-0.03, 1.03))
    return finish(figure)


def _read(folder: Path, cells: list[Cell]) -> dict[str, Taken]:
    """What is taken by a method or several alike, by their names."""
    places = {str(cell.method): folder / output("compress", cell).path for cell in cells}
    alike: list[tuple[Taken, list[str]]] = []
    for method, place in places.items():
        if not has_plans(place):
            continue
        taken = taken_shares(place)
        known = next((methods for other, methods in alike if other == taken), None)
        if known is None:
            alike.append((taken, [method]))
        else:
            known.append(method)
    return {_label(methods): taken for taken, methods in alike}


def _label(methods: list[str]) -> str:
    """The names of methods that take alike, or the first of them where they are many."""
    names = ", ".join(methods)
    return names if len(names) <= LONGEST else f"{methods[0]} and {len(methods) - 1} alike"
