"""The two halves of an attention, q and k, and v and o, each of which may be treated in its own way."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, cast

from lorap.core.budget import rank_for
from lorap.core.water import Point
from lorap.methods.low_rank import PAIRS, LowRank, set_low_rank
from lorap.methods.registry import registered
from lorap.methods.seen import Want
from lorap.model.layer_plan import LayerPlan, LayerShape
from lorap.model.sizes import Sizes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lorap.methods.seen import Seen


class Half(ABC):
    """What happens to a pair of projections."""

    piece: Literal["qk", "vo"]

    @property
    def names(self) -> tuple[str, ...]:
        """The projections."""
        return PAIRS[self.piece]

    @abstractmethod
    def fitted(self, plan: LayerPlan, shape: LayerShape, share: float, scores: Mapping[str, "Tensor"]) -> LayerPlan:
        """A plan in which the pair keeps at most a share of its weights."""

    @abstractmethod
    def priced(self, shape: LayerShape, layer: Mapping[str, "Tensor"]) -> list[Point]:
        """Parameters of the pair and the error that a survey has found there, from the dense size down."""

    @abstractmethod
    def wanted(self, shape: LayerShape, plan: LayerPlan) -> Sequence[Want]:
        """The statistics that the work needs."""

    @abstractmethod
    def apply(self, layer: "nn.Module", plan: LayerPlan, seen: "Seen") -> None:
        """Changes the pair in place to what the plan says."""

    def metric(self, projection: str, seen: "Seen") -> "Tensor | None":
        """The metric of the norm in which a weight's error is kept small."""
        return None

    def statistics_bytes(self, sizes: Sizes) -> int:
        """Bytes of the statistics."""
        return 0

    def workspace_bytes(self, sizes: Sizes) -> int:
        """Bytes that the work takes at its peak."""
        return 0

    def modules(self) -> tuple[str, ...]:
        """The modules whose code it runs."""
        return (type(self).__module__,)


class LowRankHalf(Half):
    """Both projections by a factorisation of their own."""

    def __init__(self, piece: Literal["qk", "vo"], name: str, shrinkage: float) -> None:
        self.piece = piece
        part = registered("attention")[name]
        own = {"shrinkage": shrinkage} if "shrinkage" in part.model_fields else {}
        self.factorisation = cast("LowRank", part.model_construct(None, **own))

    def fitted(self, plan: LayerPlan, shape: LayerShape, share: float, scores: Mapping[str, "Tensor"]) -> LayerPlan:
        """The same share of each."""
        return replace(plan, ranks=plan.ranks | {name: rank_for(shape.sizes[name], share) for name in self.names})

    def priced(self, shape: LayerShape, layer: Mapping[str, "Tensor"]) -> list[Point]:
        """As the factorisation of all four has it."""
        return self.factorisation.priced(self.piece, shape, layer)

    def wanted(self, shape: LayerShape, plan: LayerPlan) -> Sequence[Want]:
        """The statistic of the inputs of what is factorised."""
        return self.factorisation.inputs_of(self.names, plan)

    def apply(self, layer: "nn.Module", plan: LayerPlan, seen: "Seen") -> None:
        """Factorises what the plan gives a rank."""
        for name in self.names:
            set_low_rank(layer, name, plan.ranks[name], self.metric(name, seen))

    def metric(self, projection: str, seen: "Seen") -> "Tensor | None":
        """That of the factorisation."""
        return self.factorisation.metric(projection, seen)

    def statistics_bytes(self, sizes: Sizes) -> int:
        """Those of the factorisation."""
        return self.factorisation.statistics_bytes(sizes)

    def workspace_bytes(self, sizes: Sizes) -> int:
        """That of the factorisation."""
        return self.factorisation.workspace_bytes(sizes)

    def modules(self) -> tuple[str, ...]:
        """Also those of the factorisation."""
        return (*super().modules(), *self.factorisation.modules())


class UntouchedHalf(Half):
    """Nothing is done to the pair, and the other one loses no more for it, as beside an untouched sub-layer."""

    def __init__(self, piece: Literal["qk", "vo"]) -> None:
        self.piece = piece

    def fitted(self, plan: LayerPlan, shape: LayerShape, share: float, scores: Mapping[str, "Tensor"]) -> LayerPlan:
        """The plan as it is."""
        return plan

    def priced(self, shape: LayerShape, layer: Mapping[str, "Tensor"]) -> list[Point]:
        """The dense size alone."""
        return [(shape.parameters_of(self.names), 0.0)]

    def wanted(self, shape: LayerShape, plan: LayerPlan) -> Sequence[Want]:
        """Nothing."""
        return ()

    def apply(self, layer: "nn.Module", plan: LayerPlan, seen: "Seen") -> None:
        """Nothing."""
