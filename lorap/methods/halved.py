"""An attention whose two halves are treated in ways of their own."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from lorap.core.budget import pair_shares
from lorap.core.water import Point
from lorap.methods.halves import Half, LowRankHalf, UntouchedHalf
from lorap.methods.low_rank import Allocation, LowRank
from lorap.methods.part import Piece, Slot, Treatment
from lorap.methods.refit import TokenWeights
from lorap.methods.registry import NONE, registered
from lorap.methods.second_moment import Shrinkage
from lorap.methods.seen import Want
from lorap.model.layer_plan import LayerPlan, LayerShape
from lorap.model.sizes import Sizes, eigenvector_operations

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lorap.methods.seen import Seen


def half_name(piece: Literal["qk", "vo"]) -> Callable[[str], str]:
    """A check of the name of what happens to a pair: a factorisation, another half, or nothing."""

    def check(name: str) -> str:
        known = [*(other for other, part in registered("attention").items() if issubclass(part, LowRank)),
                 *(["narrow-heads"] if piece == "vo" else []), NONE]  # fmt: skip
        if name not in known:
            raise ValueError(f"expected one of {', '.join(known)}")
        return name

    return check


class Halved(Treatment):
    """q and k in one way, v and o in another."""

    slot: ClassVar[Slot] = "attention"
    pieces: ClassVar[tuple[Piece, ...]] = ("qk", "vo")
    shrinkage: Shrinkage = 0.1
    token_weights: TokenWeights = "relative"
    allocation: Allocation = 3

    @property
    @abstractmethod
    def halves(self) -> tuple[Half, Half]:
        """What happens to q and k, and to v and o."""

    @property
    def narrow(self) -> Half:
        """Narrow heads of v and o."""
        from lorap.methods.narrow_heads import NarrowHalf

        return NarrowHalf(self.shrinkage, self.token_weights == "relative")

    def other(self, piece: Literal["qk", "vo"], name: str) -> Half:
        """A half by its name."""
        if name == NONE:
            return UntouchedHalf(piece)
        return self.narrow if name == "narrow-heads" else LowRankHalf(piece, name, self.shrinkage)

    def modules(self) -> tuple[str, ...]:
        """Also those of the halves."""
        return (*super().modules(), *(module for half in self.halves for module in half.modules()))

    def shrunk(self, plan: LayerPlan, shape: LayerShape, sparsity: float) -> LayerPlan:
        """Shares of the two pairs by the rule of the paper."""
        shares = pair_shares(shape.sizes, sparsity, self.allocation)
        return self.fitted(plan, shape, {"qk": shares[0], "vo": shares[1]}, {})

    def fitted(
        self, plan: LayerPlan, shape: LayerShape, shares: Mapping[Piece, float], scores: Mapping[str, "Tensor"]
    ) -> LayerPlan:
        """Each half with its share."""
        for half in self.halves:
            plan = half.fitted(plan, shape, shares[half.piece], scores)
        return plan

    def priced(self, piece: Piece, shape: LayerShape, layer: Mapping[str, "Tensor"]) -> list[Point]:
        """As the half stores it."""
        return next(half.priced(shape, layer) for half in self.halves if half.piece == piece)

    def wanted(self, shape: LayerShape, plan: LayerPlan | None) -> Sequence[Want]:
        """What the halves want; they score nothing."""
        return [want for half in self.halves for want in half.wanted(shape, plan)] if plan else []

    def apply(self, layer: "nn.Module", plan: LayerPlan, seen: "Seen") -> Mapping[str, "Tensor"]:
        """One half after the other."""
        for half in self.halves:
            half.apply(layer, plan, seen)
        return {}

    def metric(self, projection: str, seen: "Seen") -> "Tensor | None":
        """That of the half."""
        return next(half.metric(projection, seen) for half in self.halves if projection in half.names)

    def statistics_bytes(self, sizes: Sizes) -> int:
        """Those of both halves."""
        return sum(half.statistics_bytes(sizes) for half in self.halves)

    def workspace_bytes(self, sizes: Sizes) -> int:
        """That of the half that takes more."""
        return max(half.workspace_bytes(sizes) for half in self.halves)

    def eigenvector_operations(self, sizes: Sizes) -> int:
        """The eigenvectors of four matrices of the model's width, which is more than it takes."""
        return eigenvector_operations(sizes.hidden, 4)
