"""Pruning whole FFN channels by their activation-weighted size (method.md, 7)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from lorap.core.budget import removed_positions
from lorap.methods.removes_units import RemovesChannels
from lorap.methods.seen import Want
from lorap.model.layer_plan import FFN, INPUT_OF, LayerPlan, LayerShape

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lorap.methods.seen import Seen


class PruneChannels(RemovesChannels):
    """Removes channels by ascending score, but for the ``keep_least`` fraction at the bottom."""

    keep_least: Annotated[float, Field(ge=0, lt=1, description="least important channels that stay")] = 0.01

    def shrunk(self, plan: LayerPlan, shape: LayerShape, sparsity: float) -> LayerPlan:
        """As many channels as the paper's rule leaves."""
        removed = removed_positions(shape.channels, sparsity, self.keep_least)
        return replace(plan, channels=shape.channels - len(removed))

    def best(self, scores: "Tensor", count: int) -> "Tensor":
        """Those with the highest scores, and the least important ones, which stay."""
        from lorap.core.channels import kept_units

        return kept_units(scores, count, self.keep_least)


class Prune(PruneChannels):
    """Scores channels by what they weigh, times what they read and hold."""

    name: Literal["prune"] = "prune"

    def wanted(self, shape: LayerShape, plan: LayerPlan | None) -> Sequence[Want]:
        """Sizes of what the FFN reads and of what its channels hold."""
        if plan is not None and plan.channels == shape.channels:
            return ()
        return [Want("ffn_in", "squares"), Want("ffn_hidden", "squares")]

    def scores(self, layer: "nn.Module", seen: "Seen") -> Mapping[str, "Tensor"]:
        """The importance of every channel."""
        from lorap.core.channels import channel_scores
        from lorap.model.family import linear

        gate, up, down = (linear(layer, name).weight for name in FFN)
        return {"channels": channel_scores(gate, up, down, seen.of("ffn_in").scale(), seen.of("ffn_hidden").scale())}

    def metric(self, projection: str, seen: "Seen") -> "Tensor | None":
        """The size of the inputs, which the scores weigh a weight by."""
        key = Want(INPUT_OF[projection], "squares").key
        return seen.moments[key].scale() if key in seen.moments else None
