"""What share of a model's decoder linears a cell has lost, and which cells have lost as much as each other."""

from pathlib import Path

import pandas as pd

from lorap.artifacts.grid import Cell
from lorap.artifacts.kept import decoder_weights
from lorap.artifacts.places import output
from lorap.artifacts.specs import ReportSpec

REMOVED = "removed %"
WITHIN = 0.005  # of the target: how far from it, and from each other, cells may be
COMPRESSED = ["model", "method", "sparsity", "calibration"]  # what a tuned cell shares with the one that it began as


def removed(spec: ReportSpec, results: pd.DataFrame, folder: Path) -> "pd.Series[float]":
    """Percent of the dense linears' weights that a cell no longer stores, biases that it gained counted as stored.

    Of a tuned cell it is what compressing has removed: its adapter is no part of that budget.
    """
    configs = {model: folder / output("fetch", Cell(model)).files[0] for model in spec.grid.models}
    weights = {model: decoder_weights(config) for model, config in configs.items() if config.is_file()}
    dense = results[results.method == "dense"].set_index("model").parameters
    untuned = results.loc[results.tuning.isna(), [*COMPRESSED, "parameters"]]
    stored = results[COMPRESSED].merge(untuned, on=COMPRESSED, how="left").parameters.set_axis(results.index)
    return 100 * (results.model.map(dense) - stored) / results.model.map(weights).astype(float)


def on_budget(lost: "pd.Series[float]", sparsity: float) -> "pd.Series[bool]":
    """Which of some cells may be ranked: near the sparsity, and near each other, as many as there can be.

    Args:
        lost: Percent that each has lost.
        sparsity: What each was to lose, as a fraction.
    """
    within = WITHIN * 100 * sparsity
    near = lost[(lost - 100 * sparsity).abs() <= within]
    groups = [near[(near >= least) & (near <= least + within)] for least in near]
    best = max(groups, key=lambda group: (len(group), -abs(group.mean() - 100 * sparsity)), default=near)
    return pd.Series(lost.index.isin(best.index), index=lost.index)
