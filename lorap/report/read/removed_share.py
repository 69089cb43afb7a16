"""What share of a model's decoder linears a cell has lost, and which cells have lost as much as each other."""

from pathlib import Path

import pandas as pd

from lorap.artifacts.grid import Cell
from lorap.artifacts.kept import decoder_weights
from lorap.artifacts.places import output
from lorap.artifacts.specs import ReportSpec

REMOVED = "removed %"
WITHIN = 0.5  # points, of the target and of each other


def removed(spec: ReportSpec, results: pd.DataFrame, folder: Path) -> "pd.Series[float]":
    """Percent of the dense linears' weights that a cell no longer stores, biases that it gained counted as stored."""
    configs = {model: folder / output("fetch", Cell(model)).files[0] for model in spec.grid.models}
    weights = {model: decoder_weights(config) for model, config in configs.items() if config.is_file()}
    dense = results[results.method == "dense"].set_index("model").parameters
    return 100 * (results.model.map(dense) - results.parameters) / results.model.map(weights).astype(float)


def on_budget(lost: "pd.Series[float]", sparsity: float) -> "pd.Series[bool]":
    """Which of some cells may be ranked: near the sparsity, and near each other, as many as there can be.

    Args:
        lost: Percent that each has lost.
        sparsity: What each was to lose, as a fraction.
    """
    near = lost[(lost - 100 * sparsity).abs() <= WITHIN]
    groups = [near[(near >= least) & (near <= least + WITHIN)] for least in near]
    best = max(groups, key=lambda group: (len(group), -abs(group.mean() - 100 * sparsity)), default=near)
    return pd.Series(lost.index.isin(best.index), index=lost.index)
