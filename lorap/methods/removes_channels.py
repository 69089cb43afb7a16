"""What treatments that remove channels of an FFN have in common."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from lorap.core.budget import ROUNDING
from lorap.methods.part import Piece, Slot, Treatment
from lorap.model.layer_plan import LayerPlan, LayerShape

if TYPE_CHECKING:
    from torch import Tensor


class RemovesChannels(Treatment):
    """An FFN of fewer channels."""

    slot: ClassVar[Slot] = "ffn"
    pieces: ClassVar[tuple[Piece, ...]] = ("ffn",)

    def fitted(
        self, plan: LayerPlan, shape: LayerShape, shares: Mapping[Piece, float], scores: Mapping[str, "Tensor"]
    ) -> LayerPlan:
        """As many channels as the share is enough for, at least one."""
        return replace(plan, channels=max(1, int(shares["ffn"] * shape.channels + ROUNDING)))
