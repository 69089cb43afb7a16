"""One threshold for the units of all layers and of both sub-layers, FLAP's AL-AM (rivals.md, 3)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from lorap.errors import LorapError
from lorap.methods.part import Share, Treatment
from lorap.methods.removes_units import RemovesUnits, with_heads
from lorap.methods.uniform import Uniform
from lorap.model.layer_plan import LayerPlan, LayerShape

if TYPE_CHECKING:
    from torch import Tensor


class GlobalThreshold(Share):
    """What scores above the threshold stays, whatever layer it is in; layers may lose all heads or channels.

    A channel costs 1, a head what its weights are in channels; the published code cuts off that number's fraction, and
    stops at the threshold, as near to the budget as a whole head allows. Else the best channels fill what is left.
    """

    name: Literal["global-threshold"] = "global-threshold"
    scored: ClassVar[bool] = True
    costs: Annotated[Literal["as_written", "as_published"], Field(description="of a head, in channels")] = "as_written"

    def allot(
        self,
        treatments: Sequence[Treatment],
        shapes: Sequence[LayerShape],
        sparsity: float,
        scores: Sequence[Mapping[str, "Tensor"]],
    ) -> list[LayerPlan]:
        """As many units as cost nearest to the budget; a treatment without scored units takes its part by its own rule.

        Raises:
            LorapError: No treatment scores heads or channels.
        """
        import torch

        plans = [LayerPlan.dense(shape) for shape in shapes]
        units = [(index, kind, layer[kind]) for index, layer in enumerate(scores) for kind in ("kv_heads", "channels")
                 if kind in layer]  # fmt: skip
        if not units:
            raise LorapError(f"share {self.name}: no treatment scores heads or channels; choose one that removes them")
        if sparsity == 0:
            return plans
        others = [one for one in treatments if not (isinstance(one, RemovesUnits) and one.units in scores[0])]
        plans = Uniform().allot(others, shapes, sparsity, scores)
        values = torch.cat([value for _, _, value in units]).double()
        costs = torch.cat([torch.full((len(value),), self._cost(kind, shapes[index]), dtype=torch.float64)
                           for index, kind, value in units])  # fmt: skip
        stays = self._stays(values, costs, (1 - sparsity) * float(costs.sum()))
        parts = torch.split(stays, [len(value) for _, _, value in units])
        for (index, kind, _), some in zip(units, parts, strict=True):
            plan, shape, left = plans[index], shapes[index], int(some.sum())
            plans[index] = with_heads(plan, shape, left) if kind == "kv_heads" else replace(plan, channels=left)
        return plans

    def _stays(self, values: "Tensor", costs: "Tensor", budget: float) -> "Tensor":
        """Which units stay, (units,), bool: those above the threshold; with exact costs the channels fill it up."""
        order = values.argsort(descending=True, stable=True)
        spent = costs[order].cumsum(0)
        stays = values > values[order[(spent - budget).abs().argmin()]]
        if self.costs == "as_written":
            channels = order[costs[order] == 1]
            stays[channels] = False
            stays[channels[: max(0, round(budget - float(costs[stays].sum())))]] = True
        return stays

    def _cost(self, kind: str, shape: LayerShape) -> float:
        if kind == "channels":
            return 1
        exact = shape.stacked[0] * 2 / 3 / shape.kv_heads
        return exact if self.costs == "as_written" else int(exact)
