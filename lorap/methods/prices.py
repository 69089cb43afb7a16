"""What the pieces of a layer take at every size, and what a survey says that they lose there (plus.md, 6).

A survey knows joint ranks of q and k, dimensions of heads, and channels. What one of them takes, and how many of them a
treatment leaves for a share of the weights, depends on how the treatment stores what is left.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from lorap.core.budget import VO, break_even_rank
from lorap.core.water import Point
from lorap.model.layer_plan import LayerShape

if TYPE_CHECKING:
    from torch import Tensor

    Layer = Mapping[str, Tensor]  # a survey's, see ``compression.surveying``


def by_channels(shape: LayerShape, layer: "Layer") -> list[Point]:
    """The FFN with fewer channels."""
    hidden = shape.sizes["gate_proj"][1]
    return [(3 * hidden * int(channels), error) for channels, error in layer["ffn"].tolist()]


def by_value_dims(shape: LayerShape, layer: "Layer") -> list[Point]:
    """v and o with fewer dimensions a head."""
    hidden = shape.sizes["gate_proj"][1]
    price = (1 + shape.heads // shape.kv_heads) * hidden
    lost = _lost_values(layer)
    return [(price * (len(lost) - 1 - gone), error) for gone, error in enumerate(lost)]


def by_factors_of_each(shape: LayerShape, layer: "Layer") -> list[Point]:
    """v and o each by factors of its own.

    At a share f of their weights the factors of both have f times the rank at which factors are no smaller than the
    weight, and the output loses what both leave out. So half of a square weight's ranks go before anything is saved.
    """
    lost = _lost_values(layer)
    dims, dense = len(lost) - 1, shape.parameters_of(VO)
    left = [break_even_rank(shape.sizes[name]) / min(shape.sizes[name]) for name in VO]
    return [(dense, 0.0)] + [
        (dense * dim / dims, sum(lost[dims - int(dim * most)] for most in left)) for dim in range(dims - 1, 0, -1)
    ]


def by_joint_rank(shape: LayerShape, layer: "Layer", numbers: Callable[[int], int] | None = None) -> list[Point]:
    """q and k with a smaller rank for both; ``numbers`` is what they take at one, else that of factors."""
    out, inp = shape.stacked
    tails = layer["qk"].flip(0).cumsum(0).flip(0).tolist()
    ranked = [(numbers(rank) if numbers else rank * (out + inp), error) for rank, error in enumerate(tails)]
    return [(out * inp, 0.0), *(point for point in reversed(ranked) if point[0] < out * inp)]


def _lost_values(layer: "Layer") -> list[float]:
    """The error without so many of the dimensions of all heads, the least important ones."""
    lost: list[float] = layer["vo"].flatten().sort().values.cumsum(0).tolist()
    return [0.0, *lost]
