"""A LLaMA-shaped model seen by its attributes: whatever has these modules is supported, whatever its name."""

from collections.abc import Sequence

from torch import nn

from lorap.core.budget import Shape
from lorap.errors import LorapError

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


def decoder_layers(model: nn.Module) -> nn.ModuleList:
    """The decoder layers of a causal language model.

    Raises:
        LorapError: The architecture has not the modules that lorap compresses.
    """
    name = type(model).__name__
    body = getattr(model, "model", None)
    layers = getattr(body, "layers", None)
    if not isinstance(layers, nn.ModuleList) or not hasattr(body, "rotary_emb"):
        raise LorapError(f"{name}: architecture not supported, expected model.layers and model.rotary_emb")
    for index, layer in enumerate(layers):
        for projection in PROJECTIONS:
            if not isinstance(getattr(parent(layer, projection), projection, None), nn.Module):
                raise LorapError(
                    f"{name}: architecture not supported, layer {index} has no linear {projection} "
                    "(expected self_attn.{q,k,v,o}_proj and mlp.{gate,up,down}_proj)"
                )
    return layers


def parent(layer: nn.Module, projection: str) -> nn.Module | None:
    """The sub-layer that owns a projection: ``self_attn`` or ``mlp``."""
    return getattr(layer, "self_attn" if projection in ATTENTION else "mlp", None)


def linear(layer: nn.Module, projection: str) -> nn.Module:
    """One projection of a decoder layer."""
    return getattr(parent(layer, projection), projection)


def projection_shapes(layer: nn.Module, names: Sequence[str] = PROJECTIONS) -> dict[str, Shape]:
    """(out, in) of the dense projections of a layer."""
    return {name: tuple(linear(layer, name).weight.shape) for name in names}
