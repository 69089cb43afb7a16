"""Magnitude-sp: heads and channels by the norms of the columns of o and down alone; no data (rivals.md, 2)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from lorap.methods.removes_units import RemovesChannels, RemovesHeads, of_groups

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lorap.methods.seen import Seen


class LargestHeads(RemovesHeads):
    """Heads by the norms of their columns of o, added up."""

    name: Literal["magnitude-sp"] = "magnitude-sp"

    def scores(self, layer: "nn.Module", seen: "Seen") -> Mapping[str, "Tensor"]:
        """The importance of every key-value head."""
        from lorap.model.units import count

        return {"kv_heads": of_groups(_norms(layer, "o_proj"), count(layer, "kv_heads"))}


class LargestChannels(RemovesChannels):
    """Channels by the norm of their column of down."""

    name: Literal["magnitude-sp"] = "magnitude-sp"

    def scores(self, layer: "nn.Module", seen: "Seen") -> Mapping[str, "Tensor"]:
        """The importance of every channel."""
        return {"channels": _norms(layer, "down_proj")}


def _norms(layer: "nn.Module", name: str) -> "Tensor":
    import torch

    from lorap.model.family import linear

    return torch.linalg.vector_norm(linear(layer, name).weight.float(), dim=0)
