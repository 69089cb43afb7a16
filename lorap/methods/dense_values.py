"""v solved again behind the compressed layers, for what it gives on the dense model's own stream (plus.md, 4)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from lorap.methods.part import Repair
from lorap.methods.refit import Ridge, solve_again
from lorap.methods.seen import Want
from lorap.model.layer_plan import LayerPlan, LayerShape
from lorap.model.sizes import Sizes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lorap.methods.seen import Seen

ValueTarget = Annotated[
    float, Field(ge=0, le=1, description="how far v aims at what it gives on the dense model's stream")
]


class DenseValues(Repair):
    """Least squares with a ridge of every feature's own size, before anything else of the layer changes."""

    name: Literal["dense-values"] = "dense-values"
    value_target: ValueTarget = 1
    ridge: Ridge = 1

    def wanted(self, shape: LayerShape, plan: LayerPlan | None) -> Sequence[Want]:
        """Moments of v's inputs, with themselves and with what they are on the dense stream."""
        return [Want("attention_in", "gram"), Want("attention_in", "counterpart")] if plan else ()

    def mend_values(self, layer: "nn.Module", plan: LayerPlan, seen: "Seen") -> None:
        """Solves v for a mixture of what it gives on both streams."""
        inputs = seen.of("attention_in")
        gram: Tensor = inputs.products_of()
        goal = gram.lerp(inputs.products_of("counterpart"), self.value_target)
        solve_again(layer, "v_proj", seen.dense["v_proj"].float() @ goal, gram, self.ridge)

    def solutions(self, shape: LayerShape, plan: LayerPlan) -> float:
        """Two products of the weight with a moment, a Cholesky factor and two triangular solutions."""
        out, inp = shape.sizes["v_proj"]
        return inp**3 / 6 + 3 * out * inp**2

    def statistics_bytes(self, sizes: Sizes) -> int:
        """The two moments, in float32."""
        return 8 * sizes.hidden**2

    def workspace_bytes(self, sizes: Sizes) -> int:
        """A mixed moment, one that is scaled, its factor, and weights."""
        return 24 * sizes.hidden**2
