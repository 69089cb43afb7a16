"""A toy: channels go wherever their standardised scores are lowest, over all layers, after a survey."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from lorap.methods.part import Share, Treatment
from lorap.model.layer_plan import LayerPlan, LayerShape

if TYPE_CHECKING:
    from torch import Tensor


class ByScore(Share):
    """The attention gets the same share in every layer, the FFNs compete."""

    name: Literal["by-score"] = "by-score"
    scored: ClassVar[bool] = True

    def allot(
        self,
        treatments: Sequence[Treatment],
        shapes: Sequence[LayerShape],
        sparsity: float,
        scores: Sequence[Mapping[str, "Tensor"]],
    ) -> list[LayerPlan]:
        """As many channels as their treatment would leave, but chosen over all layers; one stays in each."""
        import torch

        attention, ffn = treatments
        plans = [attention.shrunk(LayerPlan.dense(shape), shape, sparsity) for shape in shapes]
        plans = [ffn.shrunk(plan, shape, sparsity) for plan, shape in zip(plans, shapes, strict=True)]
        total = sum(plan.channels for plan in plans)
        if not all("channels" in layer for layer in scores) or total == sum(shape.channels for shape in shapes):
            return plans
        standard = [(layer["channels"] - layer["channels"].mean()) / layer["channels"].std() for layer in scores]
        least = torch.cat(standard).sort(descending=True).values[total - 1]
        counts = [int((layer >= least).sum()) for layer in standard]
        return [replace(plan, channels=max(1, count)) for plan, count in zip(plans, counts, strict=True)]
