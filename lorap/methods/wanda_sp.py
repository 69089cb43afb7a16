"""Wanda-sp: heads and channels by their weights times the size of what they read (rivals.md, 2).

Only the last projection of a sub-layer is looked at, o or down. Its column j counts mean_i |W_ij| * |x_j|; a key-value
head counts what its columns add up to, those of all query heads that read it.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from lorap.methods.removes_units import RemovesChannels, RemovesHeads, of_groups
from lorap.methods.seen import Want
from lorap.model.layer_plan import LayerPlan, LayerShape

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lorap.methods.seen import Seen


class WandaHeads(RemovesHeads):
    """Heads of o."""

    name: Literal["wanda-sp"] = "wanda-sp"

    def wanted(self, shape: LayerShape, plan: LayerPlan | None) -> Sequence[Want]:
        """The size of what o reads."""
        return () if plan is not None and plan.kv_heads == shape.kv_heads else [Want("attention_out", "squares")]

    def scores(self, layer: "nn.Module", seen: "Seen") -> Mapping[str, "Tensor"]:
        """The importance of every key-value head."""
        from lorap.model.units import count

        columns = weighed(layer, "o_proj", seen.of("attention_out").scale())
        return {"kv_heads": of_groups(columns, count(layer, "kv_heads"))}


class WandaChannels(RemovesChannels):
    """Channels of down."""

    name: Literal["wanda-sp"] = "wanda-sp"

    def wanted(self, shape: LayerShape, plan: LayerPlan | None) -> Sequence[Want]:
        """The size of what the channels hold."""
        return () if plan is not None and plan.channels == shape.channels else [Want("ffn_hidden", "squares")]

    def scores(self, layer: "nn.Module", seen: "Seen") -> Mapping[str, "Tensor"]:
        """The importance of every channel."""
        return {"channels": weighed(layer, "down_proj", seen.of("ffn_hidden").scale())}


def weighed(layer: "nn.Module", name: str, scale: "Tensor") -> "Tensor":
    """The mean size of a projection's columns times that of what they read: (in,), float32."""
    from lorap.model.family import linear

    return linear(layer, name).weight.float().abs().mean(0) * scale
