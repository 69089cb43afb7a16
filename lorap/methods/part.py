"""What the parts of a method have in common: treatments of the two sub-layers, repairs, shares."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from lorap.core.water import Point
from lorap.methods.prices import by_channels, by_joint_rank, by_value_dims
from lorap.methods.seen import Seen, Want
from lorap.model.layer_plan import LayerPlan, LayerShape
from lorap.model.sizes import Sizes
from lorap.strict import Strict

if TYPE_CHECKING:
    from torch import Tensor, nn


Slot = Literal["attention", "ffn", "repair", "share"]
Piece = Literal["qk", "vo", "ffn"]  # the parts of a layer that may get shares of the budget of their own


class Part(Strict):
    """One part of a method. Its fields are its settings in params.yaml and on the command line; ``name`` is its own."""

    slot: ClassVar[Slot]
    name: str

    def modules(self) -> tuple[str, ...]:
        """The modules whose code this part runs: an edit there makes what it made out of date."""
        return (type(self).__module__,)


class Worker(Part):
    """A part that changes layers: a treatment, or a repair."""

    swept: ClassVar[bool] = False  # whether its scores come from a sweep over the dense model, before all compression
    gradients: ClassVar[int] = 0  # windows whose loss the scores want the gradients of

    @property
    def squared_gradients(self) -> bool:
        """Whether the scores want the squares of these gradients too, window by window."""
        return False

    def wanted(self, shape: LayerShape, plan: LayerPlan | None) -> Sequence[Want]:
        """The statistics that the work needs; without a plan, those that the scores need."""
        return ()

    def scores(self, layer: "nn.Module", seen: Seen) -> Mapping[str, "Tensor"]:
        """What is to know of a dense layer: of units, their importance, by the field of a plan that counts them."""
        return {}

    def statistics_bytes(self, sizes: Sizes) -> int:
        """Bytes of the statistics of a layer, where they are more than a vector an input."""
        return 0

    def workspace_bytes(self, sizes: Sizes) -> int:
        """Bytes that the work on a layer takes at its peak, beside the layer and its statistics."""
        return 0

    def solutions(self, shape: LayerShape, plan: LayerPlan) -> float:
        """Multiply-accumulates in float32 of what is solved for in a layer, factorisations of a weight apart."""
        return 0

    def eigenvector_operations(self, sizes: Sizes) -> int:
        """Multiply-accumulates that finding eigenvectors takes in a layer, roughly."""
        return 0


class Treatment(Worker):
    """What happens to a sub-layer: it measures, scores its units, and changes a layer once its plan is known."""

    pieces: ClassVar[tuple[Piece, ...]] = ()  # what a share may give shares of their own

    def beside(self, attention: "Treatment") -> "Treatment":
        """The treatment as it is beside that of the attention; an FFN's may depend on it."""
        return self

    @abstractmethod
    def shrunk(self, plan: LayerPlan, shape: LayerShape, sparsity: float) -> LayerPlan:
        """A plan in which this sub-layer has lost the fraction ``sparsity`` of its weights."""

    def nearest(self, plan: LayerPlan, shape: LayerShape, sparsity: float) -> LayerPlan:
        """The same, as near to the fraction as its units allow, where the method's own rule stays farther away."""
        return self.shrunk(plan, shape, sparsity)

    @abstractmethod
    def fitted(
        self, plan: LayerPlan, shape: LayerShape, shares: Mapping[Piece, float], scores: Mapping[str, "Tensor"]
    ) -> LayerPlan:
        """A plan in which each piece keeps at most its share of its weights.

        Args:
            plan: What the layer is so far.
            shape: The dense layer.
            shares: Of every piece of a layer, in (0, 1].
            scores: Of the layer, from a survey.
        """

    def priced(self, piece: Piece, shape: LayerShape, layer: Mapping[str, "Tensor"]) -> list[Point]:
        """Parameters of a piece and the error that a survey has found there, from the dense size down."""
        return {"ffn": by_channels, "vo": by_value_dims, "qk": by_joint_rank}[piece](shape, layer)

    def windows_for_metrics(self, plan: LayerPlan) -> int:
        """Windows whose attention is looked into for the metrics of q and k."""
        return 0

    def importance(self, layer: "nn.Module", seen: Seen, units: str) -> "Tensor":
        """The scores of a kind of units: from the sweep, or of the layer as it is now."""
        if not self.swept:
            return self.scores(layer, seen)[units]
        return seen.scores[units].to(next(layer.parameters()).device)

    @abstractmethod
    def apply(self, layer: "nn.Module", plan: LayerPlan, seen: Seen) -> Mapping[str, "Tensor"]:
        """Changes a layer in place to what the plan says.

        Returns:
            Where units were removed, the indices of those kept, by the field of the plan that counts them.
        """

    def metric(self, projection: str, seen: Seen) -> "Tensor | None":
        """The metric of the norm in which this treatment keeps a weight's error small (``core.factorise``)."""
        return None


class Repair(Worker):
    """What makes up for part of what the treatments take: before them, between them, or behind both."""

    slot: ClassVar[Slot] = "repair"

    def planned(self, plan: LayerPlan, shape: LayerShape) -> LayerPlan:
        """The plan with what the repair adds, such as biases."""
        return plan

    def mend_values(self, layer: "nn.Module", plan: LayerPlan, seen: Seen) -> None:
        """Repairs what values are made of, in place and before all else, by wants of a ``counterpart``."""

    def mend_attention(self, layer: "nn.Module", plan: LayerPlan, seen: Seen) -> None:
        """Repairs the attention in place, before the FFN is measured behind it and compressed."""

    @abstractmethod
    def apply(self, layer: "nn.Module", plan: LayerPlan, seen: Seen) -> None:
        """Repairs a compressed layer in place."""


class Share(Part):
    """How the budget is spread over the layers: from the configuration alone, or after a look at the dense model."""

    slot: ClassVar[Slot] = "share"
    scored: ClassVar[bool] = False  # whether it wants the scores of all units, by the method's own treatments
    surveyed: ClassVar[bool] = False  # whether it wants what `lorap survey` has found of the model

    @abstractmethod
    def allot(
        self,
        treatments: Sequence[Treatment],
        shapes: Sequence[LayerShape],
        sparsity: float,
        scores: Sequence[Mapping[str, "Tensor"]],
    ) -> list[LayerPlan]:
        """A plan for every layer.

        Args:
            treatments: Of the attention and of the FFN.
            shapes: The layers as they are.
            sparsity: The fraction of the weights of each treated sub-layer that is to go, over all layers.
            scores: By layer: of its units, by the field of a plan that counts them, or a survey's tensors; else empty.
        """
