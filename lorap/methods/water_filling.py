"""Every piece of every layer keeps what the model needs most, after a survey of the dense model (plus.md, 6)."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from lorap.core.water import Point, at_least, fill
from lorap.errors import LorapError
from lorap.methods.part import Piece, Share, Treatment
from lorap.model.layer_plan import LayerPlan, LayerShape

if TYPE_CHECKING:
    from torch import Tensor

Key = tuple[int, Piece]  # of a layer and one of its pieces


class WaterFilling(Share):
    """The same loss for the last parameter of every piece, in units of the model's output."""

    name: Literal["water-filling"] = "water-filling"
    surveyed: ClassVar[bool] = True
    floor: Annotated[float, Field(gt=0, lt=1, description="share that every piece keeps, of an FFN 1/24 at least")] = (
        0.15
    )
    emphasis: Annotated[float, Field(ge=0, le=10, description="exponent of the weights of the layers' errors")] = 1.5
    depth: Annotated[float, Field(ge=0, le=10, description="log of what the last layer counts for the first")] = 1
    attention_weight: Annotated[
        float, Field(gt=0, allow_inf_nan=False, description="what an attention's error counts for an FFN's")
    ] = 2

    def allot(
        self,
        treatments: Sequence[Treatment],
        shapes: Sequence[LayerShape],
        sparsity: float,
        scores: Sequence[Mapping[str, "Tensor"]],
    ) -> list[LayerPlan]:
        """The best plan of the surveyed errors, rounded down, and filled up by single channels.

        Raises:
            LorapError: The floors leave more than the target.
        """
        pieces = [(piece, treatment) for treatment in treatments for piece in treatment.pieces]
        curves = {
            (index, piece): [(size, weight * self._of_piece(piece) * error) for size, error in
                             at_least(self.floor, treatment.priced(piece, shapes[index], scores[index]))]
            for index, weight in enumerate(self._of_layers(scores))
            for piece, treatment in pieces
        }  # fmt: skip
        budget = (1 - sparsity) * sum(curve[0][0] for curve in curves.values())
        self._require(curves, sparsity, budget)
        return _rounded(treatments, shapes, scores, curves, budget)

    def _of_layers(self, scores: Sequence[Mapping[str, "Tensor"]]) -> list[float]:
        """What an error counts in each layer: later ones are not made up for by the layers behind them."""
        last = max(1, len(scores) - 1)
        return [
            float(layer["weight"]) ** self.emphasis * math.exp(self.depth * index / last)
            for index, layer in enumerate(scores)
        ]

    def _of_piece(self, piece: Piece) -> float:
        return 1 if piece == "ffn" else self.attention_weight

    def _require(self, curves: Mapping[Key, Sequence[Point]], sparsity: float, budget: float) -> None:
        dense, least = (sum(curve[place][0] for curve in curves.values()) for place in (0, -1))
        if least > budget:
            nearest = math.floor((1 - least / dense) * 1e4) / 1e4  # rounded up, it would not work
            raise LorapError(
                f"share {self.name}: at least {self.floor:g} of every piece stays, so that sparsity {sparsity:g} is "
                f"out of reach; the nearest is {nearest:.4f}, or lower --floor"
            )


def _rounded(
    treatments: Sequence[Treatment],
    shapes: Sequence[LayerShape],
    scores: Sequence[Mapping[str, "Tensor"]],
    curves: Mapping[Key, Sequence[Point]],
    budget: float,
) -> list[LayerPlan]:
    """Plans in whole units, never more than the budget: what rounding leaves goes to channels."""
    sizes = fill(curves, budget)

    def planned(index: int) -> LayerPlan:
        shape, plan = shapes[index], LayerPlan.dense(shapes[index])
        shares = {piece: sizes[at, piece] / curves[at, piece][0][0] for at, piece in curves if at == index}
        for treatment in treatments:
            plan = treatment.fitted(plan, shape, shares, scores[index])
        return plan

    plans = [planned(index) for index in range(len(shapes))]
    if not any(piece == "ffn" for _, piece in curves):
        return plans
    treated = sum(curve[0][0] for curve in curves.values())
    allowed = budget + sum(shape.parameters for shape in shapes) - treated
    spare = allowed - sum(plan.stored(shape) for plan, shape in zip(plans, shapes, strict=True))
    unit = 3 * shapes[0].sizes["gate_proj"][1]
    order = sorted(range(len(shapes)), key=lambda index: -_gain(curves[index, "ffn"], sizes[index, "ffn"]))
    while spare >= unit:
        before = spare
        for index in order:
            if spare >= unit and sizes[index, "ffn"] + unit <= curves[index, "ffn"][0][0]:
                sizes[index, "ffn"] += unit
                wider = planned(index)
                added = wider.stored(shapes[index]) - plans[index].stored(shapes[index])
                if added <= spare:  # factors of an FFN come in larger units
                    plans[index], spare = wider, spare - added
        if spare == before:
            break
    return plans


def _gain(curve: Sequence[Point], size: float) -> float:
    """What another parameter would save where a piece has so many."""
    larger = [point for point in curve if point[0] > size]
    smaller = [point for point in curve if point[0] <= size]
    if not larger or not smaller:
        return 0.0
    return (smaller[0][1] - larger[-1][1]) / (larger[-1][0] - smaller[0][0])
