"""Channels removed by the optimal brain surgeon, with what is left solved anew after every round (plus.md, 5)."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from lorap.methods.refit import DenseTarget, moments_of_channels, of_channels
from lorap.methods.removes_units import RemovesChannels
from lorap.methods.seen import Want
from lorap.methods.solving import solving
from lorap.model.layer_plan import LayerPlan, LayerShape
from lorap.model.sizes import Sizes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lorap.methods.seen import Seen

SelectionRidge = Annotated[float, Field(gt=0, allow_inf_nan=False, description="pull to the old weights in obs")]


class Obs(RemovesChannels):
    """Removes those channels first whose loss the others can make up for."""

    name: Literal["obs"] = "obs"
    selection_ridge: SelectionRidge = 0.3
    dense_target: DenseTarget = 0.25

    def wanted(self, shape: LayerShape, plan: LayerPlan | None) -> Sequence[Want]:
        """Moments of the channels, with themselves and with what the stream lacks."""
        if plan is None or plan.channels == shape.channels:
            return ()
        return of_channels(self.dense_target, weighted=True)

    def apply(self, layer: "nn.Module", plan: LayerPlan, seen: "Seen") -> Mapping[str, "Tensor"]:
        """Removes the same channels from gate, up and down, and gives down its new weight."""
        from lorap.core.surgeon import remove
        from lorap.model.family import linear
        from lorap.model.swap import set_linear
        from lorap.model.units import keep_units

        down = linear(layer, "down_proj")
        if plan.channels == down.in_features:
            return {}
        gram, cross = moments_of_channels(seen, self.dense_target, weighted=True)
        with solving("ffn_hidden", "selection_ridge", self.selection_ridge):
            rounds = remove(down.weight, cross, gram, self.selection_ridge, plan.channels)
            last = deque(rounds, maxlen=1).pop()  # not all of them at once, for their weights are large
        keep_units(layer, "channels", last.kept)
        set_linear(layer, "down_proj", last.weight.to(down.weight.dtype), down.bias)
        return {"channels": last.kept}

    def solutions(self, shape: LayerShape, plan: LayerPlan) -> float:
        """An inverse, its updates until the plan's channels are left, and a refit at full width."""
        width, hidden = shape.channels, shape.sizes["gate_proj"][1]
        if plan.channels == width:
            return 0
        updates = (width**3 - plan.channels**3) / 3
        return width**3 + updates + hidden * (2 * width**2 + (width**2 - plan.channels**2) / 2)

    def statistics_bytes(self, sizes: Sizes) -> int:
        """The two moments, in float32."""
        return 4 * (sizes.channels**2 + sizes.hidden * sizes.channels)

    def workspace_bytes(self, sizes: Sizes) -> int:
        """The inverse, what it becomes in a round, and weights."""
        return 4 * (3 * sizes.channels**2 + 6 * sizes.hidden * sizes.channels)
