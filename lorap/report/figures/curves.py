"""Figures of measures against sparsity and of the loss against the steps of tuning."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lorap.artifacts.grid import Cell
from lorap.artifacts.specs import ReportSpec
from lorap.report.figures.style import finish, looks, panels, perplexity_axis
from lorap.report.read.columns import setting_columns
from lorap.report.read.results import FORMS, is_main, read_tunings
from lorap.report.read.scores import AVERAGE, SEVEN, score_columns

ALLOCATION = "allocation"  # the setting that has a figure of its own


def perplexity_figure(spec: ReportSpec, results: pd.DataFrame, folder: Path) -> Figure:
    """Perplexity against sparsity: a curve for every method, without and with tuning."""
    figure, axes = panels(spec.grid.models, list(spec.perplexity))
    for (model, protocol), axis in axes.items():
        _against_sparsity(axis, _of(spec, results, model), protocol)
        perplexity_axis(axis, f"perplexity\n{protocol}")
    return finish(figure)


def zeroshot_figure(spec: ReportSpec, results: pd.DataFrame, folder: Path) -> Figure:
    """Mean accuracy of the seven tasks, and that of the grid's other tasks, against sparsity."""
    scores = [name for name in score_columns(spec) if name not in SEVEN and results[name].notna().any()]
    figure, axes = panels(spec.grid.models, scores)
    for (model, score), axis in axes.items():
        if score:
            _against_sparsity(axis, _of(spec, results, model), score)
        axis.set_ylabel("mean accuracy, %" if score in (AVERAGE, "") else f"accuracy, {score.removesuffix(' acc')}, %")
    return finish(figure)


def tuning_figure(spec: ReportSpec, results: pd.DataFrame, folder: Path) -> Figure:
    """The loss in training, thin, and on held-out rows, thick, of every tuning."""
    figure, axes = panels(spec.grid.models, [""])
    tunings = read_tunings(spec, folder)
    for (model, _), axis in axes.items():
        of_model = ((cell, history["log"]) for cell, history in tunings.items() if cell.model == model)
        for (cell, log), look in zip(of_model, looks(), strict=False):
            entries = pd.DataFrame(log, columns=["step", "loss", "held_out_loss"])
            training, held_out = (entries.dropna(subset=[name]) for name in ("loss", "held_out_loss"))
            axis.plot(training.step, training.loss, color=look["color"], alpha=0.45, linewidth=0.7)
            axis.plot(held_out.step, held_out.held_out_loss, label=_tuning_name(spec, cell), **look)
        axis.set(xlabel="step (thin: training, with markers: held out)", ylabel="loss")
    return finish(figure)


def allocation_figure(spec: ReportSpec, results: pd.DataFrame, folder: Path) -> Figure:
    """Perplexity against the allocation: a curve for every treatment of attention, at the highest sparsity of several.

    What else the methods do is that of the first cell whose allocation varies.
    """
    figure, axes = panels(spec.grid.models, list(spec.perplexity))
    cells = _of_allocations(spec, results[is_main(spec, results) & results.tuning.isna()])
    for (model, protocol), axis in axes.items():
        groups = cells[cells.model == model].groupby("attention", sort=False)
        for (attention, rows), look in zip(groups, looks(), strict=False):
            curve = rows.sort_values(ALLOCATION)
            axis.plot(curve[ALLOCATION], curve[protocol], label=attention, **look)
        perplexity_axis(axis, f"perplexity\n{protocol}")
        ticks = sorted(cells[ALLOCATION].unique())
        axis.set_xticks(ticks, [f"{value:g}:1" for value in ticks])
        axis.set_xlabel(
            "allocation, v and o : q and k" + (f"; sparsity {cells.sparsity.max():g}" if len(cells) else "")
        )
    return finish(figure)


def _of(spec: ReportSpec, results: pd.DataFrame, model: str) -> pd.DataFrame:
    return results[is_main(spec, results) & (results.model == model)]


def _against_sparsity(axis: Axes, rows: pd.DataFrame, column: str) -> None:
    """Curves that start at the dense model; a method at a single sparsity is a point, its way there is not known."""
    dense = rows[rows.method == "dense"]
    for (name, curve), look in zip(_curves(rows), looks(), strict=False):
        measured = curve.dropna(subset=[column]).sort_values("sparsity")
        if measured.empty:
            continue
        is_curve = measured.sparsity.nunique() > 1
        points = pd.concat([dense, measured]) if is_curve else measured
        look |= {"markerfacecolor": "white"} if curve.tuning.notna().any() else {}
        look |= {"markevery": slice(1, None)} if is_curve else {"linestyle": ""}
        axis.plot(points.sparsity, points[column], label=name, **look)
    axis.plot(dense.sparsity, dense[column], "k*", markersize=7, label="dense")
    axis.set_xlabel("sparsity")
    axis.set_xticks(sorted(rows.sparsity.unique()))


def _curves(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The methods at several sparsities, or all where there is none, then the tunings, each in its first form."""
    compressed = rows[(rows.method != "dense") & rows.tuning.isna()]
    several = compressed[compressed.groupby("method")["sparsity"].transform("nunique") > 1]
    for name, curve in (compressed if several.empty else several).groupby("method", sort=False):
        yield str(name), curve
    for (method, tuning), tuned in rows[rows.tuning.notna()].groupby(["method", "tuning"], sort=False):
        ordered = tuned.assign(order=tuned.kept_as.map(FORMS.index)).sort_values("order")
        yield f"{method} tuned, {tuning}", ordered.drop_duplicates("sparsity")


def _of_allocations(spec: ReportSpec, cells: pd.DataFrame) -> pd.DataFrame:
    """The cells that differ in the allocation or in the treatment that it belongs to, and in nothing else."""
    cells = cells.reindex(columns=[*cells.columns.union([ALLOCATION], sort=False)]).dropna(subset=[ALLOCATION])
    others = [name for name in setting_columns(spec) if name not in ("attention", ALLOCATION)]
    groups = cells.groupby(["sparsity", *others], dropna=False)
    varied = cells[groups[ALLOCATION].transform("nunique") > 1]
    highest = varied[varied.sparsity == varied.sparsity.max()]
    return highest[groups.ngroup()[highest.index] == groups.ngroup()[highest.index[:1]].max()]


def _tuning_name(spec: ReportSpec, cell: Cell) -> str:
    calibration = "" if cell.calibration == spec.grid.calibration else f" {cell.calibration}"
    return f"{cell.method} {cell.sparsity:g}{calibration}, {cell.tuning}"
