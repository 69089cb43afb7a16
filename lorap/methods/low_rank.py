"""Low rank: projections of the attention become thin factors; the metric makes the difference (method.md, 4)."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from lorap.core.budget import QK, VO, attention_ranks, rank_for
from lorap.core.water import Point
from lorap.methods.part import Piece, Slot, Treatment
from lorap.methods.prices import by_factors_of_each
from lorap.methods.seen import Stream, Want
from lorap.model.layer_plan import ATTENTION, INPUT_OF, READERS, LayerPlan, LayerShape
from lorap.model.sizes import Sizes, eigenvector_operations

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lorap.core.statistics import Moments
    from lorap.methods.seen import Seen


PAIRS: dict[Piece, tuple[str, ...]] = {"qk": QK, "vo": VO}
Allocation = Annotated[float, Field(gt=0, allow_inf_nan=False, description="parameters of v, o for each of q, k")]


class LowRank(Treatment):
    """The attention by low rank: v and o get ``allocation`` parameters for each of q and k."""

    slot: ClassVar[Slot] = "attention"
    statistic: ClassVar[Literal["squares", "moment", "gram"] | None]  # that the metric is made of
    stream: ClassVar[Stream] = "compressed"  # that it is taken of
    pieces: ClassVar[tuple[Piece, ...]] = ("qk", "vo")
    allocation: Allocation = 3

    @abstractmethod
    def metric_of(self, moments: "Moments | None") -> "Tensor | None":
        """The metric from the statistic of a projection's input: None, (in,) or (in, in); see ``core.factorise``."""

    def shrunk(self, plan: LayerPlan, shape: LayerShape, sparsity: float) -> LayerPlan:
        """Ranks by the rule of the paper."""
        ranks = attention_ranks({name: shape.sizes[name] for name in ATTENTION}, sparsity, self.allocation)
        return replace(plan, ranks=plan.ranks | ranks)

    def fitted(
        self, plan: LayerPlan, shape: LayerShape, shares: Mapping[Piece, float], scores: Mapping[str, "Tensor"]
    ) -> LayerPlan:
        """The same share for both weights of a pair."""
        ranks = {name: rank_for(shape.sizes[name], shares[piece]) for piece, pair in PAIRS.items() for name in pair}
        return replace(plan, ranks=plan.ranks | ranks)

    def priced(self, piece: Piece, shape: LayerShape, layer: Mapping[str, "Tensor"]) -> list[Point]:
        """v and o each lose ranks of their own."""
        return by_factors_of_each(shape, layer) if piece == "vo" else super().priced(piece, shape, layer)

    def wanted(self, shape: LayerShape, plan: LayerPlan | None) -> Sequence[Want]:
        """The statistic of the inputs of what is factorised."""
        return self.inputs_of(ATTENTION, plan)

    def inputs_of(self, names: Sequence[str], plan: LayerPlan | None) -> Sequence[Want]:
        """The statistic of every input that one of these projections reads; with a plan, of those with a rank."""
        if self.statistic is None:
            return ()
        read = {name for name in names if plan is None or plan.ranks[name] is not None}
        stream: Stream = self.stream if plan else "compressed"  # the sweep's only one, where nothing is compressed
        return [Want(key, self.statistic, stream) for key, readers in READERS.items() if read & set(readers)]

    def scores(self, layer: "nn.Module", seen: "Seen") -> Mapping[str, "Tensor"]:
        """Squares of the singular values of q, k, v and o in the metric, for a share that spreads ranks by them."""
        return self.spectra(ATTENTION, layer, seen)

    def spectra(self, names: Sequence[str], layer: "nn.Module", seen: "Seen") -> Mapping[str, "Tensor"]:
        """The same of any projections, by name, largest first: sums over the calibration tokens."""
        from lorap.core.factorise import spectrum
        from lorap.model.family import linear

        found: dict[str, Tensor] = {}
        for name in names:
            moments = seen.of(INPUT_OF[name]) if self.statistic else None
            tokens = moments.tokens if moments and self.statistic != "squares" else 1
            found[name] = spectrum(linear(layer, name).weight, self.metric_of(moments)).square() * tokens
        return found

    def apply(self, layer: "nn.Module", plan: LayerPlan, seen: "Seen") -> Mapping[str, "Tensor"]:
        """Factorises what the plan gives a rank."""
        for name in ATTENTION:
            set_low_rank(layer, name, plan.ranks[name], self.metric(name, seen))
        return {}

    def metric(self, projection: str, seen: "Seen") -> "Tensor | None":
        """The metric of this factorisation, if its statistic was measured: a repair may change what it leaves alone."""
        if self.statistic is None:
            return None
        moments = seen.moments.get(Want(INPUT_OF[projection], self.statistic, self.stream).key)
        return self.metric_of(moments) if moments and self.statistic in moments.kinds else None

    def statistics_bytes(self, sizes: Sizes) -> int:
        """Second moments of the two inputs, if the metric is full."""
        return 36 * sizes.hidden**2 if self.statistic in ("moment", "gram") else 0

    def workspace_bytes(self, sizes: Sizes) -> int:
        """A weight in float32 and float64, its Gram matrix, and the eigenvectors."""
        return 60 * sizes.hidden**2

    def eigenvector_operations(self, sizes: Sizes) -> int:
        """The eigenvectors of four Gram matrices."""
        return eigenvector_operations(sizes.hidden, len(ATTENTION))


def set_low_rank(layer: "nn.Module", name: str, rank: int | None, metric: "Tensor | None") -> None:
    """Replaces a dense projection by its best factors in its own dtype, the bias taken over; rank None leaves it.

    Args:
        layer: The decoder layer.
        name: Of the projection, (out, in).
        rank: Width of the factors.
        metric: None, (in,) or (in, in), see ``core.factorise``.
    """
    from lorap.core.factorise import factorise
    from lorap.model.family import linear
    from lorap.model.swap import set_factors

    if rank is None:
        return
    dense = linear(layer, name)
    left, right = factorise(dense.weight, rank, metric)
    dtype = dense.weight.dtype
    set_factors(layer, name, left.to(dtype), right.to(dtype), dense.bias)
