"""Pruning whole FFN channels by their activation-weighted size (method.md, 7)."""

from torch import Tensor, nn

from lorap.core.channels import channel_scores, kept_channels
from lorap.core.statistics import Moments
from lorap.model.family import FFN, linear
from lorap.model.stream import set_linear

CHANNEL_DIM = {"gate_proj": 0, "up_proj": 0, "down_proj": 1}  # of each weight


def prune_channels(
    layer: nn.Module, sparsity: float, keep_least: float, ffn_in: Moments, ffn_hidden: Moments
) -> Tensor:
    """Removes the same channels from gate, up and down in place; returns the indices kept, ascending: (kept,)."""
    gate, up, down = (linear(layer, name).weight for name in FFN)
    kept = kept_channels(channel_scores(gate, up, down, ffn_in.scale(), ffn_hidden.scale()), sparsity, keep_least)
    for name in FFN:
        dense, dim = linear(layer, name), CHANNEL_DIM[name]
        bias = dense.bias[kept] if dense.bias is not None and dim == 0 else dense.bias
        set_linear(layer, name, dense.weight.index_select(dim, kept).contiguous(), bias)
    return kept
