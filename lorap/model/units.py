"""Whole units of a sub-layer: channels of the FFN, and key-value heads with the query heads that read them."""

import torch
from torch import Tensor, nn

from lorap.model.family import linear
from lorap.model.layer_plan import ATTENTION, FFN, LAST
from lorap.model.modeling_lorap import Absent
from lorap.model.swap import set_linear

OF = {"channels": FFN, "kv_heads": ATTENTION}  # the projections that have a unit, by the field of a plan that counts it
KIND = {name: kind for kind, names in OF.items() for name in names}


def dim_of(name: str) -> int:
    """The dimension of a projection's weight (out, in) along which its units lie."""
    return 1 if name in LAST.values() else 0


@torch.no_grad()
def keep_units(layer: nn.Module, kind: str, kept: Tensor) -> None:
    """Removes all other units of a kind from a layer in place; without any, the sub-layer goes.

    Args:
        layer: A decoder layer whose projections of the kind are dense.
        kind: ``channels`` or ``kv_heads``.
        kept: Indices of those that stay, ascending: (kept,), int64.
    """
    last = linear(layer, LAST[kind])
    if len(kept) == 0:
        index = getattr(layer.self_attn, "layer_idx", None) if kind == "kv_heads" else None
        absent = Absent(last, bias=False, layer_index=index)
        if last.bias is not None:
            absent.bias = last.bias
        setattr(layer, "mlp" if kind == "channels" else "self_attn", absent)
        return
    total = count(layer, kind)
    for name in OF[kind]:
        dense, dim = linear(layer, name), dim_of(name)
        index = places(kept, dense.weight.shape[dim] // total)
        bias = dense.bias[index] if dense.bias is not None and dim == 0 else dense.bias
        set_linear(layer, name, dense.weight.index_select(dim, index).contiguous(), bias)


def count(layer: nn.Module, kind: str) -> int:
    """How many units of a kind a layer has."""
    if kind == "channels":
        return linear(layer, "gate_proj").out_features
    return int(linear(layer, "k_proj").out_features // layer.self_attn.head_dim)  # type: ignore[operator, union-attr]


def places(units: Tensor, width: int) -> Tensor:
    """Where units lie along a dimension in which each takes ``width`` neighbouring places."""
    return (units[:, None] * width + torch.arange(width, device=units.device)).flatten()
