"""Heads of v and o made narrower in place."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lorap.core.budget import VO
from lorap.model.family import linear, parent
from lorap.model.modeling_lorap import Narrow
from lorap.model.swap import set_linear


@torch.no_grad()
def narrow_heads(layer: nn.Module, encoders: Sequence[Tensor], decoders: Sequence[Tensor]) -> None:
    """Changes v by encoders of its heads, and o by decoders, in place.

    Args:
        layer: A decoder layer with dense v and o, whose heads have d dimensions.
        encoders: Of every key-value head, (r, d), with an r of its own.
        decoders: Of the query heads that read it, (ratio, d, r).
    """
    value, output = (linear(layer, name) for name in VO)
    width = encoders[0].shape[1]
    heads = value.weight.float().view(len(encoders), width, -1)
    weight = torch.cat([encoder.to(heads) @ head for encoder, head in zip(encoders, heads, strict=True)])
    bias = None
    if value.bias is not None:
        parts = value.bias.float().view(len(encoders), width)
        bias = torch.cat([encoder.to(part) @ part for encoder, part in zip(encoders, parts, strict=True)])
    split = output.weight.float().view(len(output.weight), -1, width)
    columns = torch.split(split, [len(each) for each in decoders], 1)
    narrow = [
        (part.transpose(0, 1) @ decoder.to(part)).transpose(0, 1).flatten(1)
        for part, decoder in zip(columns, decoders, strict=True)
    ]
    dtype = value.weight.dtype
    dims = [len(encoder) for encoder in encoders]
    set_linear(layer, "v_proj", weight.to(dtype), None if bias is None else bias.to(dtype))
    set_linear(layer, "o_proj", torch.cat(narrow, 1).to(dtype), output.bias)
    if set(dims) != {width}:
        _pad(layer, "v_proj", dims, width)
        _pad(layer, "o_proj", [dim for dim, each in zip(dims, decoders, strict=True) for _ in range(len(each))], width)


def _pad(layer: nn.Module, name: str, dims: list[int], width: int) -> None:
    """Makes the attention see heads of the width that they had."""
    owner = parent(layer, name)
    setattr(owner, name, Narrow(getattr(owner, name), dims, width, name == "o_proj"))
