"""What treatments that remove whole units of a sub-layer have in common: channels, or heads."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from lorap.core.budget import ROUNDING, removed_positions
from lorap.core.water import Point, at_least
from lorap.methods.part import Piece, Slot, Treatment
from lorap.model.layer_plan import LayerPlan, LayerShape
from lorap.model.sizes import Sizes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lorap.methods.seen import Seen


class RemovesUnits(Treatment):
    """A sub-layer of fewer units: those with the lowest scores go."""

    units: ClassVar[Literal["channels", "kv_heads"]]

    def apply(self, layer: "nn.Module", plan: LayerPlan, seen: "Seen") -> Mapping[str, "Tensor"]:
        """Removes the same units from all projections of the sub-layer."""
        from lorap.model.units import count, keep_units

        left = getattr(plan, self.units)
        if left == count(layer, self.units):
            return {}
        kept = self.best(self.importance(layer, seen, self.units), left)
        keep_units(layer, self.units, kept)
        return {self.units: kept}

    def best(self, scores: "Tensor", count: int) -> "Tensor":
        """Indices of the units that stay, ascending: (count,), int64."""
        from lorap.core.channels import kept_units

        return kept_units(scores, count)

    def workspace_bytes(self, sizes: Sizes) -> int:
        """The weights in float32, for the scores and for the error."""
        return 18 * sizes.hidden * sizes.channels


class RemovesChannels(RemovesUnits):
    """An FFN of fewer channels."""

    slot: ClassVar[Slot] = "ffn"
    units: ClassVar[Literal["channels", "kv_heads"]] = "channels"
    pieces: ClassVar[tuple[Piece, ...]] = ("ffn",)

    def shrunk(self, plan: LayerPlan, shape: LayerShape, sparsity: float) -> LayerPlan:
        """The fraction of the channels, rounded down, goes; one stays."""
        return replace(plan, channels=shape.channels - len(removed_positions(shape.channels, sparsity, 0)))

    def fitted(
        self, plan: LayerPlan, shape: LayerShape, shares: Mapping[Piece, float], scores: Mapping[str, "Tensor"]
    ) -> LayerPlan:
        """As many channels as the share is enough for, at least one."""
        return replace(plan, channels=max(1, int(shares["ffn"] * shape.channels + ROUNDING)))


class RemovesHeads(RemovesUnits):
    """An attention of fewer key-value heads, each of which goes with the query heads that read it."""

    slot: ClassVar[Slot] = "attention"
    units: ClassVar[Literal["channels", "kv_heads"]] = "kv_heads"
    pieces: ClassVar[tuple[Piece, ...]] = ("qk", "vo")

    def shrunk(self, plan: LayerPlan, shape: LayerShape, sparsity: float) -> LayerPlan:
        """As published: the fraction of the heads, rounded down, goes."""
        return with_heads(plan, shape, shape.kv_heads - int(sparsity * shape.kv_heads + ROUNDING))

    def nearest(self, plan: LayerPlan, shape: LayerShape, sparsity: float) -> LayerPlan:
        """The fraction of the heads, rounded to the nearest, goes; one stays."""
        return with_heads(plan, shape, max(1, shape.kv_heads - int(sparsity * shape.kv_heads + 0.5)))

    def fitted(
        self, plan: LayerPlan, shape: LayerShape, shares: Mapping[Piece, float], scores: Mapping[str, "Tensor"]
    ) -> LayerPlan:
        """As many heads as the smaller share of q and k, and of v and o, is enough for, at least one."""
        share = min(shares["qk"], shares["vo"])
        return with_heads(plan, shape, max(1, int(share * shape.kv_heads + ROUNDING)))

    def priced(self, piece: Piece, shape: LayerShape, layer: Mapping[str, "Tensor"]) -> list[Point]:
        """No smaller than one head."""
        return at_least(1 / shape.kv_heads, super().priced(piece, shape, layer))


def with_heads(plan: LayerPlan, shape: LayerShape, groups: int) -> LayerPlan:
    """A plan with so many key-value heads, and their query heads."""
    return replace(plan, kv_heads=groups, heads=groups * (shape.heads // shape.kv_heads))


def of_groups(columns: "Tensor", groups: int) -> "Tensor":
    """What the columns of o add up to in each key-value head: (heads * d,) to (groups,)."""
    return columns.view(groups, -1).sum(1)
