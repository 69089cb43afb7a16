"""Putting another form in the place of a layer's projection: a dense linear, or factors."""

import torch
from torch import Tensor, nn

from lorap.model.family import bias_of, has, parent, projection
from lorap.model.layer_plan import PROJECTIONS
from lorap.model.modeling_lorap import Absent, LowRankLinear, Narrow


@torch.no_grad()
def multiply_out(layer: nn.Module) -> None:
    """Replaces every pair of factors of a layer by the dense linear that they stand for, in place."""
    for name in PROJECTIONS:
        if not has(layer, name):
            continue
        small = projection(layer, name)
        if not isinstance(small, nn.Linear):
            left, right = small.factors()
            set_linear(layer, name, (left.float() @ right.float()).to(left.dtype), bias_of(small))


def set_linear(layer: nn.Module, name: str, weight: Tensor, bias: Tensor | None) -> None:
    """Puts a dense linear with these tensors in the place of a projection."""
    with torch.device("meta"):
        dense = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
    _put(layer, name, dense, {"weight": weight}, {"bias": bias})


def set_factors(
    layer: nn.Module,
    name: str,
    left: Tensor,
    right: Tensor | str,
    bias: Tensor | None,
    pivots: range = range(0),
    order: Tensor | None = None,
) -> None:
    """Puts a pair of factors in the place of a projection.

    Args:
        layer: The decoder layer.
        name: Of the projection.
        left: (out, k); with pivots, of the other outputs.
        right: (k, in), or the name of the projection that lends its own.
        bias: (out,).
        pivots: The rows of the right factor that are outputs.
        order: With pivots, where each output lies in them and the others behind them, (out,), int64.
    """
    tensors, lender = {"left.weight": left}, None
    if isinstance(right, str):
        lender = projection(layer, right)
    else:
        tensors["right.weight"] = right
    if pivots and order is not None:
        tensors["order"] = order
    out = len(pivots) + len(left)
    inp = lender.in_features if lender else tensors["right.weight"].shape[1]
    with torch.device("meta"):
        small = LowRankLinear(inp, out, left.shape[1], bias is not None, pivots, lender)
    _put(layer, name, small, tensors, {"bias" if pivots else "left.bias": bias})


def add_bias(layer: nn.Module, name: str, bias: Tensor) -> None:
    """Adds to the bias of a projection, (out,), or to the one that is left of its sub-layer; there may be none yet."""
    owner, bias = parent(layer, name), bias.to(next(layer.parameters()).dtype)
    if isinstance(owner, Absent):
        owner.bias = nn.Parameter(bias + (0 if owner.bias is None else owner.bias), requires_grad=False)
        return
    module = projection(layer, name)
    old = bias_of(module)
    bias = bias if old is None else bias + old
    if isinstance(module, nn.Linear):
        set_linear(layer, name, module.weight, bias)
    else:
        set_factors(layer, name, *module.factors(), bias)


def _put(
    layer: nn.Module, name: str, module: nn.Module, tensors: dict[str, Tensor], biases: dict[str, Tensor | None]
) -> None:
    """Puts a module on the meta device in the place of a projection, inside of what pads its heads."""
    there = {key: bias for key, bias in biases.items() if bias is not None}
    module.load_state_dict(tensors | there, assign=True)
    owner = parent(layer, name)
    outer = getattr(owner, name)
    if isinstance(outer, Narrow):
        outer.inner = module
    else:
        setattr(owner, name, module)
