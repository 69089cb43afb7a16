"""LLM-Pruner: heads and channels by the gradients of the loss (rivals.md, 4; Ma, Fang and Wang, NeurIPS 2023).

With S = W * G, G the gradient of the mean loss of ten windows, and A the mean of its squares window by window, a row
or column of a weight counts: ``element1`` sum |S|, ``vector`` |sum S|, ``element2`` sum |W^2 A|, ``mixed``
sum |S - W^2 A / 2|. A unit counts what its rows of q, k, v and its columns of o (of gate, up, and down) add up to.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from lorap.core.budget import ROUNDING
from lorap.methods.removes_units import RemovesChannels, RemovesHeads, of_groups
from lorap.model.layer_plan import ATTENTION, FFN, LayerPlan, LayerShape

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lorap.methods.seen import Seen

Estimate = Annotated[
    Literal["element1", "element2", "vector", "mixed"], Field(description="of the loss, from weights and gradients")
]
Folding = Annotated[
    Literal["as_written", "as_published"], Field(description="which query heads count for a key-value head")
]
SECOND_ORDER = ("element2", "mixed")
DRAWN = 10  # windows, as published


class PrunerHeads(RemovesHeads):
    """Heads; a key-value head counts with the query heads that read it.

    ``as_published`` credits it with every groups-th query head instead, as the published code does, which then cuts
    the right ones.
    """

    name: Literal["llm-pruner"] = "llm-pruner"
    swept: ClassVar[bool] = True
    gradients: ClassVar[int] = DRAWN
    estimate: Estimate = "element1"
    folding: Folding = "as_written"

    @property
    def squared_gradients(self) -> bool:
        """Those of the second order."""
        return self.estimate in SECOND_ORDER

    def scores(self, layer: "nn.Module", seen: "Seen") -> Mapping[str, "Tensor"]:
        """The importance of every key-value head."""
        import torch

        from lorap.model.family import linear
        from lorap.model.units import count

        groups = count(layer, "kv_heads")
        total = torch.zeros(groups, device=next(layer.parameters()).device)
        for name in ATTENTION:
            units = lines(layer, seen, name, self.estimate)
            if self.folding == "as_published":
                units = units.view(-1, linear(layer, "k_proj").out_features).sum(0)
            total += of_groups(units, groups)
        return {"kv_heads": total}


class PrunerChannels(RemovesChannels):
    """Channels."""

    name: Literal["llm-pruner"] = "llm-pruner"
    swept: ClassVar[bool] = True
    gradients: ClassVar[int] = DRAWN
    estimate: Estimate = "element1"

    @property
    def squared_gradients(self) -> bool:
        """Those of the second order."""
        return self.estimate in SECOND_ORDER

    def shrunk(self, plan: LayerPlan, shape: LayerShape, sparsity: float) -> LayerPlan:
        """As published: what stays is rounded down."""
        return replace(plan, channels=max(1, int((1 - sparsity) * shape.channels + ROUNDING)))

    def scores(self, layer: "nn.Module", seen: "Seen") -> Mapping[str, "Tensor"]:
        """The importance of every channel."""
        import torch

        return {"channels": torch.stack([lines(layer, seen, name, self.estimate) for name in FFN]).sum(0)}


def lines(layer: "nn.Module", seen: "Seen", name: str, estimate: str) -> "Tensor":
    """The importance of the rows of a weight, or of the columns of a sub-layer's last one: (units,), float32."""
    from lorap.model.family import linear
    from lorap.model.units import dim_of

    weight, gradient, across = linear(layer, name).weight, seen.gradients[name], 1 - dim_of(name)
    change = weight * gradient.mean
    if estimate == "vector":
        return change.sum(across).abs()
    if estimate in SECOND_ORDER:
        second = weight.float().square() * gradient.squares
        change = second if estimate == "element2" else change - second / 2
    return change.abs_().sum(across)
