"""The budget of the whole model, met by units as large as heads: channels fill up what heads leave (rivals.md, 1)."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from lorap.errors import LorapError
from lorap.methods.part import Treatment
from lorap.methods.some_layers import Middle
from lorap.model.layer_plan import FFN, LayerPlan, LayerShape

if TYPE_CHECKING:
    from torch import Tensor

NEARLY_ALL = 1 - 1e-9  # what treatments are asked for at most: sparsities are below 1


class WholeBudget(Middle):
    """The sparsity is that of all decoder linears, also where layers at the ends stay dense."""

    name: Literal["whole-budget"] = "whole-budget"

    def allot(
        self,
        treatments: Sequence[Treatment],
        shapes: Sequence[LayerShape],
        sparsity: float,
        scores: Sequence[Mapping[str, "Tensor"]],
    ) -> list[LayerPlan]:
        """The attention as near to its part as its units allow, then the same share of every FFN for the rest.

        Raises:
            LorapError: The layers that may be cut cannot give so much, or no FFN gives anything.
        """
        attention, ffn = treatments
        if not ffn.pieces:
            raise LorapError(f"share {self.name}: needs an ffn treatment, to make up what heads leave; choose one")
        plans, inside = [LayerPlan.dense(shape) for shape in shapes], self.inside(len(shapes))
        if sparsity == 0:
            return plans
        dense = sum(shape.parameters for shape in shapes)
        all_inside = sum(shapes[index].parameters for index in inside)
        ratio = min(sparsity * dense / max(1, all_inside), NEARLY_ALL)
        for index in inside:
            plans[index] = attention.nearest(plans[index], shapes[index], ratio)
        excess = sum(plan.stored(shape) for plan, shape in zip(plans, shapes, strict=True)) - (1 - sparsity) * dense
        wide = sum(shapes[index].parameters_of(FFN) for index in inside)
        if excess >= wide:
            nearest = math.floor((sparsity - (excess - wide) / dense) * 1e4) / 1e4  # rounded up, it would not work
            ends = "" if len(inside) == len(shapes) else ", or lower --skip-first and --skip-last"
            raise LorapError(
                f"share {self.name}: sparsity {sparsity:g} is out of reach with {len(inside)} of {len(shapes)} layers "
                f"cut; the nearest is {nearest:.4f}{ends}"
            )
        for index in inside:
            plans[index] = ffn.fitted(plans[index], shapes[index], {"ffn": min(1, 1 - excess / wide)}, {})
        return plans
