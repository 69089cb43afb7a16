"""A bias of o and down that stands for the mean of what was removed (rivals.md, 3)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from lorap.methods.part import Repair
from lorap.methods.seen import Want
from lorap.model.layer_plan import INPUT_OF, LAST, LayerPlan, LayerShape

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lorap.methods.seen import Seen


class MeanBias(Repair):
    """Means of the dense model's activations, times the columns that went; every layer has the two biases."""

    name: Literal["mean-bias"] = "mean-bias"
    swept: ClassVar[bool] = True

    def planned(self, plan: LayerPlan, shape: LayerShape) -> LayerPlan:
        """The plan with the biases that the layer has not had."""
        return replace(plan, biases=(*plan.biases, *(name for name in LAST.values() if name not in shape.biased)))

    def wanted(self, shape: LayerShape, plan: LayerPlan | None) -> Sequence[Want]:
        """The means of what o and down read, in the sweep."""
        return [Want(INPUT_OF[name], "mean") for name in LAST.values()] if plan is None else ()

    def scores(self, layer: "nn.Module", seen: "Seen") -> Mapping[str, "Tensor"]:
        """The means."""
        return {f"{name}.mean": seen.of(INPUT_OF[name]).mean() for name in LAST.values()}

    def apply(self, layer: "nn.Module", plan: LayerPlan, seen: "Seen") -> None:
        """Adds what the removed columns have given on average."""
        import torch

        from lorap.core.factorise import in_float64
        from lorap.model.family import projection
        from lorap.model.swap import add_bias
        from lorap.model.units import places

        for units, name in LAST.items():
            weight = seen.dense[name]
            gone = seen.scores[f"{name}.mean"].to(weight.device)
            if units not in seen.kept:
                gone = torch.zeros_like(gone)
            elif len(kept := seen.kept[units]):
                gone = gone.index_fill(0, places(kept, projection(layer, name).in_features // len(kept)), 0)
            add_bias(layer, name, (in_float64(weight) @ in_float64(gone)).to(gone))
