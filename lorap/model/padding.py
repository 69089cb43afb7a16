"""A stock layer of a compressed one: what a stock class cannot express is filled up with zeros, which add nothing."""

import copy
from typing import Any

import torch
from torch import Tensor

from lorap.model.family import bias_of, has, linear, projection
from lorap.model.layer_plan import ATTENTION, FFN, LayerPlan, LayerShape
from lorap.model.modeling_lorap import head_dims


@torch.no_grad()
def pad_layer(layer: Any, stock: Any, plan: LayerPlan, shape: LayerShape) -> None:
    """Gives a layer, its factors multiplied out, the sizes of a stock layer in place.

    A channel with zero rows in gate and up, a head with zeros in v and o, adds nothing to the output.

    Args:
        layer: The compressed layer.
        stock: The stock layer, on the meta device.
        plan: Of the compressed layer.
        shape: Of the dense layer.
    """
    for place, names in (("self_attn", ATTENTION), ("mlp", FFN)):
        theirs, mine = getattr(stock, place), getattr(layer, place)
        wanted = {name: tensor.shape for name, tensor in theirs.state_dict().items()}
        if wanted == {name: tensor.shape for name, tensor in mine.state_dict().items()}:
            continue
        like = next(layer.parameters())
        state = {name: torch.zeros(size, dtype=like.dtype, device=like.device) for name, size in wanted.items()}
        state |= {name: tensor for name, tensor in mine.state_dict().items() if wanted.get(name) == tensor.shape}
        for name in names:
            _fill(state, layer, name, plan, shape)
        whole = copy.deepcopy(theirs)
        whole.load_state_dict(state, assign=True)
        setattr(layer, place, whole)


def _fill(state: dict[str, Tensor], layer: Any, name: str, plan: LayerPlan, shape: LayerShape) -> None:
    """Puts what a layer has of a projection into the zeros of a stock one."""
    last = name in ("o_proj", "down_proj")
    if not has(layer, name):
        bias = (layer.self_attn if name in ATTENTION else layer.mlp).bias if last else None
        if bias is not None:
            state[f"{name}.bias"] = bias.detach()
        return
    weight, bias = linear(layer, name).weight, bias_of(projection(layer, name))
    index = _places(name, plan, shape).to(weight.device)
    whole = torch.zeros_like(state[f"{name}.weight"])
    state[f"{name}.weight"] = whole.index_copy_(1 if last else 0, index, weight.detach())
    if bias is not None:
        empty = torch.zeros_like(state[f"{name}.bias"])
        state[f"{name}.bias"] = bias.detach() if last else empty.index_copy_(0, index, bias.detach())


def _places(name: str, plan: LayerPlan, shape: LayerShape) -> Tensor:
    """Where the rows of a projection (of o and down, the columns) lie in the stock one."""
    if name in FFN:
        return torch.arange(plan.channels)
    heads = plan.heads if name in ("q_proj", "o_proj") else plan.kv_heads
    narrow = list(plan.value_dims()) if name in ("v_proj", "o_proj") else shape.head_dim
    dims = head_dims(narrow, heads)
    return torch.cat([torch.arange(dim) + head * shape.head_dim for head, dim in enumerate(dims)])
