"""Decomposing an FFN as the attention is, to compare with pruning it (method.md, 8)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, cast

from pydantic import AfterValidator, Field, PrivateAttr

from lorap.core.budget import ffn_ranks
from lorap.methods.low_rank import LowRank, set_low_rank
from lorap.methods.part import Piece, Slot, Treatment
from lorap.methods.registry import registered
from lorap.methods.seen import Want
from lorap.model.layer_plan import FFN, LayerPlan, LayerShape
from lorap.model.sizes import Sizes, eigenvector_operations, factorising_bytes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lorap.methods.seen import Seen

DEFAULT = "awsvd"  # where the attention has no factorisation


def _low_rank(name: str) -> str:
    known = [other for other, part in registered("attention").items() if issubclass(part, LowRank)]
    if name not in known:
        raise ValueError(f"expected a factorisation of {', '.join(known)}")
    return name


class Decompose(Treatment):
    """gate, up and down by low rank: by the attention's factorisation, or the one named."""

    slot: ClassVar[Slot] = "ffn"
    pieces: ClassVar[tuple[Piece, ...]] = ("ffn",)
    name: Literal["decompose"] = "decompose"
    factorisation: Annotated[
        Annotated[str, AfterValidator(_low_rank)] | None,
        Field(description="of a decomposed FFN (default: the attention's)"),
    ] = None

    _attention: Treatment | None = PrivateAttr(None)  # whose settings it has where it has its factorisation

    def beside(self, attention: Treatment) -> Treatment:
        """With the attention's factorisation where none is named."""
        own = attention.name if isinstance(attention, LowRank) else DEFAULT
        found = self.model_copy(update={"factorisation": self.factorisation or own})
        found._attention = attention
        return found

    def modules(self) -> tuple[str, ...]:
        """Also those of the factorisation."""
        return (*super().modules(), *self._factorisation.modules())

    @property
    def _factorisation(self) -> LowRank:
        if isinstance(self._attention, LowRank) and self._attention.name == self.factorisation:
            return self._attention
        return cast("LowRank", registered("attention")[self.factorisation or DEFAULT].model_construct())

    def shrunk(self, plan: LayerPlan, shape: LayerShape, sparsity: float) -> LayerPlan:
        """The same fraction of each of the three weights."""
        ranks = ffn_ranks({name: shape.sizes[name] for name in FFN}, sparsity)
        return replace(plan, ranks=plan.ranks | ranks)

    def fitted(
        self, plan: LayerPlan, shape: LayerShape, shares: Mapping[Piece, float], scores: Mapping[str, "Tensor"]
    ) -> LayerPlan:
        """The same share for each of the three weights."""
        return self.shrunk(plan, shape, 1 - shares["ffn"])

    def wanted(self, shape: LayerShape, plan: LayerPlan | None) -> Sequence[Want]:
        """The statistic of the inputs of what is factorised."""
        return self._factorisation.inputs_of(FFN, plan)

    def scores(self, layer: "nn.Module", seen: "Seen") -> Mapping[str, "Tensor"]:
        """Squares of the singular values of the three weights, see ``LowRank.spectra``."""
        return self._factorisation.spectra(FFN, layer, seen)

    def apply(self, layer: "nn.Module", plan: LayerPlan, seen: "Seen") -> Mapping[str, "Tensor"]:
        """Factorises what the plan gives a rank."""
        for name in FFN:
            set_low_rank(layer, name, plan.ranks[name], self.metric(name, seen))
        return {}

    def metric(self, projection: str, seen: "Seen") -> "Tensor | None":
        """That of the factorisation."""
        return self._factorisation.metric(projection, seen)

    def statistics_bytes(self, sizes: Sizes) -> int:
        """Second moments of the two inputs, if the metric is full."""
        return 36 * sizes.channels**2 if self._factorisation.statistic in ("moment", "gram") else 0

    def workspace_bytes(self, sizes: Sizes) -> int:
        """That of factorising one of the weights."""
        return factorising_bytes(sizes)

    def eigenvector_operations(self, sizes: Sizes) -> int:
        """The eigenvectors of three Gram matrices."""
        return eigenvector_operations(sizes.hidden, len(FFN))
