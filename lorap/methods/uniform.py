"""The same share for every layer, as published."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from lorap.methods.part import Share, Treatment
from lorap.model.layer_plan import LayerPlan, LayerShape

if TYPE_CHECKING:
    from torch import Tensor


class Uniform(Share):
    """Every layer loses the same fraction; known from the configuration alone."""

    name: Literal["uniform"] = "uniform"

    def allot(
        self,
        treatments: Sequence[Treatment],
        shapes: Sequence[LayerShape],
        sparsity: float,
        scores: Sequence[Mapping[str, "Tensor"]],
    ) -> list[LayerPlan]:
        """Each treatment's own rule, layer by layer."""
        plans = [LayerPlan.dense(shape) for shape in shapes]
        for treatment in treatments:
            plans = [treatment.shrunk(plan, shape, sparsity) for plan, shape in zip(plans, shapes, strict=True)]
        return plans
