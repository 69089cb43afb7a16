"""q and k by factors in the metric of the attention's output, with one right factor for both (plus.md, 2)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from lorap.core.budget import QK, ROUNDING, Shape, pivot_counts, pivoted_numbers, pivoted_rank
from lorap.core.water import Point
from lorap.methods.halved import Halved, half_name
from lorap.methods.halves import Half
from lorap.methods.prices import by_joint_rank
from lorap.methods.seen import Want
from lorap.model.layer_plan import LayerPlan, LayerShape
from lorap.model.sizes import Sizes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lorap.methods.seen import Seen

Storage = Annotated[Literal["pivoted", "factors"], Field(description="how low-rank q and k are stored")]
MetricWindows = Annotated[int, Field(ge=1, description="that the metric of queries and keys is measured on")]


class JointHalf(Half):
    """q and k together."""

    piece = "qk"

    def __init__(self, shrinkage: float, storage: str) -> None:
        self.shrinkage, self.pivoted = shrinkage, storage == "pivoted"

    def numbers(self, both: Shape, rank: int) -> int:
        """What the two weights, one below the other, take at a rank."""
        return pivoted_numbers(both, rank) if self.pivoted else rank * sum(both)

    def fitted(self, plan: LayerPlan, shape: LayerShape, share: float, scores: Mapping[str, "Tensor"]) -> LayerPlan:
        """The rank that the share is enough for; dense where what is stored would be no smaller."""
        both = shape.stacked
        most, dense = int(share * both[0] * both[1] + ROUNDING), both[0] * both[1]
        rank = max(1, pivoted_rank(both, most) if self.pivoted else most // sum(both))
        if share >= 1 or self.numbers(both, rank) >= dense:
            return replace(plan, ranks=plan.ranks | dict.fromkeys(QK), shared=())
        pivots = pivot_counts(rank, {name: shape.sizes[name][0] for name in QK}) if self.pivoted else {}
        return replace(plan, ranks=plan.ranks | dict.fromkeys(QK, rank), shared=(QK,), pivots=plan.pivots | pivots)

    def priced(self, shape: LayerShape, layer: Mapping[str, "Tensor"]) -> list[Point]:
        """By their rank, as it is stored."""
        return by_joint_rank(shape, layer, partial(self.numbers, shape.stacked))

    def wanted(self, shape: LayerShape, plan: LayerPlan) -> Sequence[Want]:
        """The second moment of their input."""
        return () if plan.ranks["q_proj"] is None else [Want("attention_in", "gram")]

    def apply(self, layer: "nn.Module", plan: LayerPlan, seen: "Seen") -> None:
        """Factorises both, the right factor shared."""
        from lorap.core.joint import joint_factors, shrunk
        from lorap.core.pivots import pivoted
        from lorap.model.family import linear
        from lorap.model.modeling_lorap import pivots_of
        from lorap.model.swap import set_factors

        rank = plan.ranks["q_proj"]
        if rank is None:
            return
        dense = [linear(layer, name) for name in QK]
        moment = shrunk(seen.of("attention_in").products_of(), self.shrinkage)
        weights, metrics = [module.weight for module in dense], [seen.metrics[name] for name in QK]
        lefts, right = joint_factors(weights, metrics, moment, rank)
        pivots = [pivots_of(name, plan.as_dict()) for name in QK]
        orders: Sequence[Tensor | None] = (None, None)
        if plan.pivots:
            lefts, right, orders = pivoted(lefts, right, [len(rows) for rows in pivots])
        lent = right.to(weights[0].dtype)
        for name, module, left, rows, order in zip(QK, dense, lefts, pivots, orders, strict=True):
            set_factors(layer, name, left.to(lent.dtype), lent if name == QK[0] else QK[0], module.bias, rows, order)

    def statistics_bytes(self, sizes: Sizes) -> int:
        """A second moment in float32, and metrics."""
        return 8 * sizes.hidden**2

    def workspace_bytes(self, sizes: Sizes) -> int:
        """Both weights and their Gram matrix in float64, the eigenvectors, and the attention of a window."""
        return 100 * sizes.hidden**2


class JointQk(Halved):
    """q and k by joint factors, v and o as ``vo`` says."""

    name: Literal["joint-qk"] = "joint-qk"
    metric_windows: MetricWindows = 6
    storage: Storage = "pivoted"
    vo: Annotated[str, AfterValidator(half_name("vo")), Field(description="what happens to v and o")] = "awsvd"

    def windows_for_metrics(self, plan: LayerPlan) -> int:
        """Those that the metric is measured on, none where q and k stay dense."""
        return 0 if plan.ranks["q_proj"] is None else self.metric_windows

    @property
    def halves(self) -> tuple[Half, Half]:
        """The joint factors, and the other half."""
        return JointHalf(self.shrinkage, self.storage), self.other("vo", self.vo)
