"""A LLaMA-shaped model seen by its attributes: whatever has these modules is supported, whatever its name."""

from collections.abc import Sequence
from typing import Any, cast

from torch import nn

from lorap.core.budget import Shape
from lorap.errors import LorapError
from lorap.model.modeling_lorap import LowRankLinear

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
FFN = ("gate_proj", "up_proj", "down_proj")
PROJECTIONS = ATTENTION + FFN

# The four distinct inputs of a layer's linears, in the order of the forward pass, and who reads them.
READERS = {
    "attention_in": ("q_proj", "k_proj", "v_proj"),
    "attention_out": ("o_proj",),
    "ffn_in": ("gate_proj", "up_proj"),
    "ffn_hidden": ("down_proj",),
}
INPUT_OF = {reader: name for name, readers in READERS.items() for reader in readers}

# What some families do to embeddings or logits outside of their layers, where a factored model does not follow.
SCALINGS = ("embedding_multiplier", "logits_scaling", "logit_scale", "final_logit_softcapping")


def decoder_layers(model: nn.Module) -> nn.ModuleList:
    """The decoder layers of a causal language model.

    Raises:
        LorapError: The architecture has not the modules that lorap compresses.
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
        for name in PROJECTIONS:
            if not isinstance(getattr(parent(layer, name), name, None), nn.Linear | LowRankLinear):
                raise LorapError(
                    f"{family}: architecture not supported, layer {index} has no linear {name} "
                    "(expected self_attn.{q,k,v,o}_proj and mlp.{gate,up,down}_proj)"
                )
        if others := sorted(
            {key.split(".")[1] for key, _ in layer.named_parameters() if key.startswith("mlp.")} - set(FFN)
        ):
            raise LorapError(f"{family}: architecture not supported, mlp.{others[0]} depends on the width of the FFN")
    return layers


def parent(layer: nn.Module, name: str) -> nn.Module | None:
    """The sub-layer that owns a projection: ``self_attn`` or ``mlp``."""
    return getattr(layer, "self_attn" if name in ATTENTION else "mlp", None)


def projection(layer: nn.Module, name: str) -> nn.Linear | LowRankLinear:
    """One projection of a decoder layer, dense or factored."""
    return cast("nn.Linear | LowRankLinear", getattr(parent(layer, name), name))


def linear(layer: nn.Module, name: str) -> nn.Linear:
    """One projection of a decoder layer that is still dense."""
    return cast("nn.Linear", projection(layer, name))


def projection_shapes(layer: nn.Module, names: Sequence[str] = PROJECTIONS) -> dict[str, Shape]:
    """(out, in) of the dense projections of a layer."""
    weights = {name: linear(layer, name).weight for name in names}
    return {name: (weight.shape[0], weight.shape[1]) for name, weight in weights.items()}
