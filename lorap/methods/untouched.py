"""A sub-layer that stays as it is."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from lorap.methods.part import Piece, Slot, Treatment
from lorap.model.layer_plan import LayerPlan, LayerShape

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lorap.methods.seen import Seen


class Untouched(Treatment):
    """Nothing is done."""

    name: Literal["none"] = "none"

    def shrunk(self, plan: LayerPlan, shape: LayerShape, sparsity: float) -> LayerPlan:
        """The plan as it is."""
        return plan

    def fitted(
        self, plan: LayerPlan, shape: LayerShape, shares: Mapping[Piece, float], scores: Mapping[str, "Tensor"]
    ) -> LayerPlan:
        """The plan as it is."""
        return plan

    def apply(self, layer: "nn.Module", plan: LayerPlan, seen: "Seen") -> Mapping[str, "Tensor"]:
        """Nothing."""
        return {}


class UntouchedAttention(Untouched):
    """The attention stays as it is."""

    slot: ClassVar[Slot] = "attention"


class UntouchedFfn(Untouched):
    """The FFN stays as it is."""

    slot: ClassVar[Slot] = "ffn"
