"""q and k by factors in the metric of the attention's output, with one right factor for both (plus.md, 2)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from lorap.core.budget import QK, ROUNDING
from lorap.methods.halved import Halved, half_name
from lorap.methods.halves import Half
from lorap.methods.seen import Want
from lorap.model.layer_plan import LayerPlan, LayerShape
from lorap.model.sizes import Sizes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lorap.methods.seen import Seen

MetricWindows = Annotated[int, Field(ge=1, description="that the metric of queries and keys is measured on")]


class JointHalf(Half):
    """q and k together."""

    piece = "qk"

    def __init__(self, shrinkage: float) -> None:
        self.shrinkage = shrinkage

    def fitted(self, plan: LayerPlan, shape: LayerShape, share: float, scores: Mapping[str, "Tensor"]) -> LayerPlan:
        """The rank that the share is enough for; dense where factors would be no smaller."""
        outputs, hidden = sum(shape.sizes[name][0] for name in QK), shape.sizes["q_proj"][1]
        rank = max(1, int(share * outputs * hidden / (outputs + hidden) + ROUNDING))
        whole = share >= 1 or rank * (outputs + hidden) >= outputs * hidden
        ranks: dict[str, int | None] = dict.fromkeys(QK, None if whole else rank)
        return replace(plan, ranks=plan.ranks | ranks, shared=() if whole else (QK,))

    def wanted(self, shape: LayerShape, plan: LayerPlan | None) -> Sequence[Want]:
        """The second moment of their input."""
        return () if plan is not None and plan.ranks["q_proj"] is None else [Want("attention_in", "gram")]

    def apply(self, layer: "nn.Module", plan: LayerPlan, seen: "Seen") -> None:
        """Factorises both, the right factor shared."""
        from lorap.core.joint import joint_factors, shrunk
        from lorap.model.family import linear
        from lorap.model.swap import set_factors, share_factor

        rank = plan.ranks["q_proj"]
        if rank is None:
            return
        dense = [linear(layer, name) for name in QK]
        moment = shrunk(seen.of("attention_in").products_of(), self.shrinkage)
        weights, metrics = [module.weight for module in dense], [seen.metrics[name] for name in QK]
        (first, second), right = joint_factors(weights, metrics, moment, rank)
        dtype = dense[0].weight.dtype
        set_factors(layer, "q_proj", first.to(dtype), right.to(dtype), dense[0].bias)
        share_factor(layer, "k_proj", "q_proj", second.to(dtype), dense[1].bias)

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
    vo: Annotated[str, AfterValidator(half_name("vo")), Field(description="what happens to v and o")] = "awsvd"

    def windows_for_metrics(self, plan: LayerPlan) -> int:
        """Those that the metric is measured on, none where q and k stay dense."""
        return 0 if plan.ranks["q_proj"] is None else self.metric_windows

    @property
    def halves(self) -> tuple[Half, Half]:
        """The joint factors, and the other half."""
        return JointHalf(self.shrinkage), self.other("vo", self.vo)
