"""Pruning whole FFN channels by their activation-weighted size (method.md, 7)."""

import torch
from torch import Tensor, nn

from lorap.core.channels import channel_scores, kept_channels
from lorap.core.statistics import Moments
from lorap.models.adapter import FFN, linear, parent

CHANNEL_DIM = {"gate_proj": 0, "up_proj": 0, "down_proj": 1}  # of each weight


def prune_channels(
    layer: nn.Module, sparsity: float, keep_least: float, ffn_in: Moments, ffn_hidden: Moments
) -> Tensor:
    """Removes the same channels from gate, up and down in place; returns the indices kept, ascending: (kept,)."""
    gate, up, down = (linear(layer, name).weight for name in FFN)
    kept = kept_channels(channel_scores(gate, up, down, ffn_in.scale(), ffn_hidden.scale()), sparsity, keep_least)
    for name in FFN:
        setattr(parent(layer, name), name, _select(linear(layer, name), kept, CHANNEL_DIM[name]))
    return kept


def _select(dense: nn.Linear, kept: Tensor, dim: int) -> nn.Linear:
    """The linear with only the kept rows (``dim`` 0) or columns (1) of its weight."""
    weight = dense.weight.index_select(dim, kept).contiguous()
    tensors = {"weight": weight}
    if dense.bias is not None:
        tensors["bias"] = dense.bias[kept] if dim == 0 else dense.bias
    with torch.device("meta"):
        small = nn.Linear(weight.shape[1], weight.shape[0], dense.bias is not None)
    small.load_state_dict(tensors, assign=True)
    return small
