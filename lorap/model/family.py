"""A LLaMA-shaped model seen by its attributes: whatever has these modules is supported, whatever its name."""

from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from lorap.errors import LorapError
from lorap.model.layer_plan import ATTENTION, FFN, PROJECTIONS, LayerShape
from lorap.model.modeling_lorap import Absent, LowRankLinear, Narrow

# What some families do to embeddings or logits outside of their layers, where a factored model does not follow.
SCALINGS = ("embedding_multiplier", "logits_scaling", "logit_scale", "final_logit_softcapping")

Small = LowRankLinear | Narrow
Projection = nn.Linear | LowRankLinear


def decoder_layers(model: nn.Module) -> nn.ModuleList:
    """The decoder layers of a causal language model.

    Raises:
        LorapError: The architecture lacks modules that lorap compresses.
    """
    family = type(model).__name__
    body: Any = getattr(model, "model", None)
    layers = getattr(body, "layers", None)
    if not isinstance(layers, nn.ModuleList) or not layers or not hasattr(body, "rotary_emb"):
        raise LorapError(f"{family}: architecture not supported, expected model.layers and model.rotary_emb")
    scalings = [key for key in SCALINGS if getattr(body.config, key, None) not in (None, 1)]
    if scalings or type(body.embed_tokens) is not nn.Embedding:
        what = " ".join(scalings) or type(body.embed_tokens).__name__
        raise LorapError(f"{family}: architecture not supported, it scales embeddings or logits ({what})")
    for index, layer in enumerate(layers):
        _require_projections(layer, f"{family}: architecture not supported, layer {index}")
    return layers


def _require_projections(layer: nn.Module, place: str) -> None:
    """Raises a LorapError where a layer that may be compressed lacks one of the seven projections."""
    for name in PROJECTIONS:
        owner = parent(layer, name)
        if not isinstance(owner, Absent) and not isinstance(getattr(owner, name, None), nn.Linear | Small):
            raise LorapError(
                f"{place} has no linear {name} (expected self_attn.{{q,k,v,o}}_proj and mlp.{{gate,up,down}}_proj)"
            )
    if isinstance(parent(layer, "gate_proj"), Absent):
        return
    if others := sorted(
        {key.split(".")[1] for key, _ in layer.named_parameters() if key.startswith("mlp.")} - set(FFN)
    ):
        raise LorapError(f"{place.rpartition(',')[0]}, mlp.{others[0]} depends on the width of the FFN")


def require_attention(model: PreTrainedModel, index: int) -> None:
    """Runs the attention of a layer on the meta device: some families count on the heads that they were made with.

    Raises:
        LorapError: It does not run with the heads that it has now.
    """
    attention: Any = decoder_layers(model)[index].self_attn
    hidden = torch.empty(1, 2, model.config.hidden_size, device="meta", dtype=model.dtype)
    turns = hidden.new_empty(1, 2, getattr(attention, "rotary_ndims", attention.head_dim))
    try:
        attention(hidden, position_embeddings=(turns, turns), attention_mask=None)
    except (RuntimeError, ValueError) as error:
        family = type(attention).__name__
        raise LorapError(
            f"{family}: its heads cannot be removed ({str(error).splitlines()[0]}); choose a treatment that keeps them"
        ) from error


def parent(layer: nn.Module, name: str) -> nn.Module | None:
    """The sub-layer that owns a projection: ``self_attn`` or ``mlp``."""
    return getattr(layer, "self_attn" if name in ATTENTION else "mlp", None)


def projection(layer: nn.Module, name: str) -> Projection:
    """One projection of a decoder layer, dense or factored, without what pads its heads."""
    module = getattr(parent(layer, name), name)
    return cast("Projection", module.inner if isinstance(module, Narrow) else module)


def has(layer: nn.Module, name: str) -> bool:
    """Whether a layer has a projection: its sub-layer may be gone."""
    return not isinstance(parent(layer, name), Absent)


def linear(layer: nn.Module, name: str) -> nn.Linear:
    """One projection of a decoder layer that is still dense."""
    return cast("nn.Linear", projection(layer, name))


def bias_of(module: Projection) -> Tensor | None:
    """The bias of a projection, wherever its form keeps it."""
    return module.left.bias if isinstance(module, LowRankLinear) and module.order is None else module.bias


def layer_shapes(model: PreTrainedModel) -> list[LayerShape]:
    """The sizes of the dense layers of a model; a layer's number of heads may be its own."""
    return [_shape(layer) for layer in decoder_layers(model)]


def _shape(layer: Any) -> LayerShape:
    linears = {name: linear(layer, name) for name in PROJECTIONS}
    sizes = {name: (module.out_features, module.in_features) for name, module in linears.items()}
    width = layer.self_attn.head_dim
    biased = tuple(name for name, module in linears.items() if module.bias is not None)
    return LayerShape(sizes, sizes["q_proj"][0] // width, sizes["k_proj"][0] // width, width, biased)
