"""Parameters and multiply-accumulates of a model whose cost was not measured, from the dense model's and its plans.

Biases that the dense model has are taken to stay, though those of removed heads go with them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lorap.artifacts.description import plans_of
from lorap.artifacts.kept import has_plans
from lorap.model.layer_plan import LayerPlan, LayerShape


def counted(folder: Path, dense: Mapping[str, Any]) -> dict[str, int]:
    """What a measurement of its cost would count.

    Args:
        folder: The compressed model.
        dense: The cost of the dense one; where it or a plan is missing, nothing is counted.

    Raises:
        LorapError: The model's configuration is damaged.
    """
    if not dense or not has_plans(folder):
        return {}
    shape, plans = plans_of(folder)
    whole, tokens = LayerPlan.dense(shape), int(dense["protocol"]["tokens"])
    stored = sum(plan.stored(shape) - whole.stored(shape) for plan in plans)
    linears = sum(_products(plan, shape) - _products(whole, shape) for plan in plans)
    pairs = sum(_widths(plan, shape) - _widths(whole, shape) for plan in plans)
    macs = tokens * (linears + tokens * pairs)
    return {"parameters": dense["parameters"] + stored, "macs": dense["macs"] + macs}


def _products(plan: LayerPlan, shape: LayerShape) -> int:
    """Of the linears of a layer, for one token: a shared right factor is stored once and multiplied each time."""
    total = 0
    for name, (out, inp) in plan.sizes(shape).items():
        rank = plan.ranks[name]
        total += out * inp if rank is None else rank * (out - plan.pivots.get(name, 0) + inp)
    return total


def _widths(plan: LayerPlan, shape: LayerShape) -> int:
    """Of all heads' queries and values, which the attention multiplies over all pairs of tokens."""
    sizes = plan.sizes(shape)
    return sizes["q_proj"][0] + sizes["o_proj"][1]
