"""Figures of the weights by layer: the errors of the compressed ones, and the rank that the dense ones need."""

import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lorap.artifacts.grid import Cell
from lorap.artifacts.places import output
from lorap.artifacts.specs import ReportSpec
from lorap.report.figures.style import finish, looks, panels
from lorap.report.read.columns import PARTS, Setting, part_of
from lorap.report.read.results import read_joint_errors, read_layers, read_optional

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
NAMES = dict(zip(PARTS, ("attention", "FFN"), strict=True))
NORMS = {"error": "", "plain_error": ", plain"}  # by column: the norm that the method minimises, and Frobenius'
OUTPUT = "output for q and k"
ENERGY = 0.9
EVERY = 5  # layers between the markers of a curve


def error_figure(spec: ReportSpec, results: pd.DataFrame, folder: Path) -> Figure:
    """Mean error of the attention's and the FFN's weights by layer, in both norms, at the highest sparsity.

    Where queries and keys have joint factors, also the error of the attention's output, predicted and measured.
    """
    layers = read_layers(spec, folder)
    layers = layers[layers.sparsity == layers.sparsity.max()]
    norms = {column: name for column, name in NORMS.items() if column == "error" or layers[column].notna().any()}
    rows = {f"{NAMES[part]}{name}": (part, column) for part in PARTS for column, name in norms.items()}
    joint = read_joint_errors(spec, folder)
    figure, axes = panels(spec.grid.models, [*rows, *([OUTPUT] if len(joint) else [])])
    styles = dict(zip(layers.method.unique(), looks(), strict=False))
    for (model, row), axis in axes.items():
        if row == OUTPUT:
            _draw_joint(axis, joint[(joint.model == model) & (joint.sparsity == joint.sparsity.max())])
            continue
        part, column = rows[row]
        cells = layers[(layers.model == model) & (layers.projection.isin(ATTENTION) == (part == PARTS[0]))]
        cells = cells[cells.method.isin(_different(spec, cells.method.unique(), part))]
        for place, (method, cell) in enumerate(cells.groupby("method", sort=False)):
            mean = cell.groupby("layer")[column].mean()
            axis.plot(mean.index, mean, label=method, markevery=(place % EVERY, EVERY), **styles[method])
        axis.set(xlabel=f"layer (sparsity {layers.sparsity.max():g})", ylabel=f"relative error\n{row}", ylim=(0, None))
    return finish(figure)


def _draw_joint(axis: Axes, joint: pd.DataFrame) -> None:
    """The errors of the attention's output by layer, of a method as predicted and as measured."""
    drawn = itertools.product(joint.method.unique(), ("predicted", "measured"))
    for (method, kind), look in zip(drawn, looks(), strict=False):
        cells = joint[joint.method == method]
        axis.plot(cells.layer, cells[kind], label=f"{method}, {kind}", markevery=EVERY, **look)
    axis.set(xlabel=f"layer (sparsity {joint.sparsity.max():g})", ylabel=f"relative error\n{OUTPUT}", ylim=(0, None))


def spectra_figure(spec: ReportSpec, results: pd.DataFrame, folder: Path) -> Figure:
    """How much of its rank a weight needs to hold most of its weighted energy, by layer."""
    figure, axes = panels(spec.grid.models, list(PARTS))
    for (model, part), axis in axes.items():
        spectra = read_optional(folder / output("spectra", Cell(model)).path) or {"layers": []}
        names = [name for layer in spectra["layers"][:1] for name in layer]
        for place, (name, look) in enumerate(zip(names, looks(), strict=False)):
            if (name in ATTENTION) == (part == PARTS[0]):
                needed = [_needed(spectra["rank_fractions"], layer[name]) for layer in spectra["layers"]]
                axis.plot(needed, label=name, markevery=(place % EVERY, EVERY), **look)
        axis.set(xlabel="layer", ylabel=f"rank for {ENERGY:.0%}, {NAMES[part]}", ylim=(0, 1))
    return finish(figure)


def _different(spec: ReportSpec, methods: Iterable[str], part: str) -> list[str]:
    """Of some methods those that differ in what they do to a sub-layer, the first of each kind."""
    first: dict[tuple[Setting, ...], str] = {}
    for name in methods:
        first.setdefault(part_of(spec.methods[name], part), name)
    return list(first.values())


def _needed(fractions: list[float], held: list[float]) -> float:
    """The share of the rank at which the energy is held, between the measured shares on a straight line."""
    return float(np.interp(ENERGY, held, fractions))
