"""A toy: channels by the plain size of their weights; nothing is measured."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from lorap.methods.prune_channels import PruneChannels
from lorap.model.layer_plan import FFN

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lorap.methods.seen import Seen


class Smallest(PruneChannels):
    """Removes the channels whose weights are smallest, each weight to a ``power``."""

    name: Literal["smallest"] = "smallest"
    power: Annotated[float, Field(gt=0, description="of the weights in a channel's size")] = 2

    def scores(self, layer: "nn.Module", seen: "Seen") -> Mapping[str, "Tensor"]:
        """The sum of a channel's weights."""
        from lorap.model.family import linear

        gate, up, down = (linear(layer, name).weight.float().abs() ** self.power for name in FFN)
        return {"channels": gate.sum(1) + up.sum(1) + down.sum(0)}
