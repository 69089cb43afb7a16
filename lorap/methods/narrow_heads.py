"""v and o by heads of a smaller dimension: no factor more, no product more, a smaller KV cache (plus.md, 3)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from lorap.core.budget import ROUNDING
from lorap.core.water import Point, at_least
from lorap.methods.halved import Halved, half_name
from lorap.methods.halves import Half
from lorap.methods.prices import by_value_dims
from lorap.methods.seen import Want
from lorap.methods.solving import solving
from lorap.model.layer_plan import LayerPlan, LayerShape
from lorap.model.sizes import Sizes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lorap.methods.seen import Seen

LEAST = 16  # a head keeps at least one dimension of so many


class NarrowHalf(Half):
    """v and o together, head by head."""

    piece = "vo"

    def __init__(self, shrinkage: float, weighted: bool) -> None:
        self.shrinkage, self.weighted = shrinkage, weighted

    def fitted(self, plan: LayerPlan, shape: LayerShape, share: float, scores: Mapping[str, "Tensor"]) -> LayerPlan:
        """As many dimensions as the share is enough for; after a survey the ones that carry most of all heads."""
        from lorap.core.narrow import pooled_dims

        groups, width, least = shape.kv_heads, shape.head_dim, _least(shape)
        total = max(groups * least, int(share * groups * width + ROUNDING))
        if "vo" not in scores:
            return replace(plan, value_dim=total // groups)
        return replace(plan, value_dim=tuple(pooled_dims(scores["vo"], total, least)))

    def priced(self, shape: LayerShape, layer: Mapping[str, "Tensor"]) -> list[Point]:
        """By the dimensions of all heads, as many as are left to each."""
        return at_least(_least(shape) / shape.head_dim, by_value_dims(shape, layer))

    def wanted(self, shape: LayerShape, plan: LayerPlan) -> Sequence[Want]:
        """The second moment of every head's output."""
        if set(plan.value_dims()) == {shape.head_dim}:
            return ()
        return [Want("attention_out", "gram", weighted=self.weighted, blocks=shape.heads)]

    def apply(self, layer: "nn.Module", plan: LayerPlan, seen: "Seen") -> None:
        """Turns each head's space so that the dimensions to be left come first, and leaves the others out."""
        from lorap.core.joint import shrunk
        from lorap.core.narrow import decoders, head_spaces
        from lorap.model.heads import narrow_heads

        if Want("attention_out", "gram", weighted=self.weighted).key not in seen.moments:
            return
        groups = plan.kv_heads
        moments = shrunk(seen.of("attention_out", weighted=self.weighted).products_of(), self.shrinkage)
        moments = moments.view(groups, -1, moments.shape[-1], moments.shape[-1])
        outputs = heads_of(seen.dense["o_proj"], groups, plan.heads)
        spaces = head_spaces(outputs, moments)
        encoders = [encoder[:dim] for encoder, dim in zip(spaces.encoders, plan.value_dims(), strict=True)]
        with solving("attention_out", "shrinkage", self.shrinkage):
            decoded = [decoders(p, s) for p, s in zip(encoders, moments, strict=True)]
        narrow_heads(layer, encoders, decoded)

    def statistics_bytes(self, sizes: Sizes) -> int:
        """A block for every head, in float32."""
        return 4 * sizes.hidden**2

    def workspace_bytes(self, sizes: Sizes) -> int:
        """Bases of all heads in float64, and the new weights."""
        return 40 * sizes.hidden**2


def _least(shape: LayerShape) -> int:
    """Dimensions that every head keeps."""
    return max(1, shape.head_dim // LEAST)


def heads_of(weight: "Tensor", groups: int, heads: int) -> "Tensor":
    """The columns of o's weight by the query head that they read: (hidden, heads * d) to (groups, ratio, hidden, d)."""
    split = weight.float().view(len(weight), groups, heads // groups, -1)
    return split.permute(1, 2, 0, 3)


class NarrowHeads(Halved):
    """v and o by narrow heads, q and k as ``qk`` says."""

    name: Literal["narrow-heads"] = "narrow-heads"
    qk: Annotated[str, AfterValidator(half_name("qk")), Field(description="what happens to q and k")] = "awsvd"

    @property
    def halves(self) -> tuple[Half, Half]:
        """The other half, and the narrow heads."""
        return self.other("qk", self.qk), self.narrow
