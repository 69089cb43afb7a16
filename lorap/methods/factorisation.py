"""Replacing a dense linear by its factors, with any of the three metrics."""

from types import ModuleType

import torch
from torch import nn

from lorap.core.factorise import factorise
from lorap.core.statistics import Moments
from lorap.models.modeling_lorap import LowRankLinear


def low_rank(dense: nn.Linear, rank: int, method: ModuleType, moments: Moments | None) -> LowRankLinear:
    """The low-rank form of a linear in its own dtype, the bias taken over.

    Args:
        dense: The linear, (out, in).
        rank: Width of the factors.
        method: ``svd``, ``awsvd`` or ``afm``.
        moments: The statistics of the linear's input that the method asks for.
    """
    left, right = factorise(dense.weight, rank, method.metric(moments))
    with torch.device("meta"):
        small = LowRankLinear(dense.in_features, dense.out_features, rank, dense.bias is not None)
    tensors = {"left.weight": left, "right.weight": right}
    if dense.bias is not None:
        tensors["left.bias"] = dense.bias
    small.load_state_dict({name: tensor.to(dense.weight.dtype) for name, tensor in tensors.items()}, assign=True)
    return small
