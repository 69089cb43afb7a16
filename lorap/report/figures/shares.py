"""A figure of what each part of a layer keeps, by layer and sparsity."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from lorap.artifacts.grid import Cell, compressed_cells, is_surveyed
from lorap.artifacts.kept import PIECES, has_plans, kept_shares
from lorap.artifacts.places import output
from lorap.artifacts.specs import ReportSpec
from lorap.report.figures.style import EVERY, finish, looks, panels


def kept_figure(spec: ReportSpec, results: pd.DataFrame, folder: Path) -> Figure:
    """A curve for every sparsity of the first method of each way of sharing by survey, as the models record it."""
    shown = [cell for cell in compressed_cells(spec.grid) if _is_shown(spec, cell)]
    methods = list(dict.fromkeys(str(cell.method) for cell in shown))
    figure, axes = panels(spec.grid.models, [f"{method}: {piece}" for method in methods for piece in PIECES])
    sparsities = sorted({cell.sparsity for cell in shown})
    styles = dict(zip(sparsities, looks(), strict=False))
    kept = {cell: shares for cell in shown if (shares := _read(folder, cell))}
    for (model, row), axis in axes.items():
        method, _, piece = row.partition(": ")
        for cell in sorted((cell for cell in kept if (cell.model, cell.method) == (model, method)), key=_sparsity):
            place = sparsities.index(cell.sparsity)
            curve = [layer[piece] for layer in kept[cell]]
            label = f"sparsity {cell.sparsity:g}"
            axis.plot(curve, label=label, markevery=(place % EVERY, EVERY), **styles[cell.sparsity])
        axis.set(xlabel="layer", ylabel=f"share kept\n{row}" if row else "share kept", ylim=(0, 1.05))
    return finish(figure)


def _is_shown(spec: ReportSpec, cell: Cell) -> bool:
    """Whether a cell is of the grid's own calibration, and of the first method that shares as its own does."""
    if cell.calibration != spec.grid.calibration or not is_surveyed(cell, spec.methods):
        return False
    same = (
        other.method
        for other in compressed_cells(spec.grid)
        if other.calibration == cell.calibration
        and spec.methods[str(other.method)].share == spec.methods[str(cell.method)].share
    )
    return next(same) == cell.method


def _read(folder: Path, cell: Cell) -> list[dict[str, float]]:
    place = folder / output("compress", cell).path
    return kept_shares(place) if has_plans(place) else []


def _sparsity(cell: Cell) -> float:
    return cell.sparsity
