"""Replacing a dense linear by its factors, with any of the three metrics."""

from types import ModuleType

from torch import nn

from lorap.core.factorise import factorise
from lorap.core.statistics import Moments
from lorap.model.family import linear
from lorap.model.stream import set_factors


def set_low_rank(layer: nn.Module, name: str, rank: int, method: ModuleType, moments: Moments | None) -> None:
    """Replaces a dense projection by its low-rank form in its own dtype, the bias taken over.

    Args:
        layer: The decoder layer.
        name: Of the projection, (out, in).
        rank: Width of the factors.
        method: ``svd``, ``awsvd`` or ``afm``.
        moments: The statistics of the projection's input that the method asks for.
    """
    dense = linear(layer, name)
    left, right = factorise(dense.weight, rank, method.metric(moments))
    dtype = dense.weight.dtype
    set_factors(layer, name, left.to(dtype), right.to(dtype), dense.bias)
