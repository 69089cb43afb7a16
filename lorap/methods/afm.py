"""Atomic feature mimicking: the principal subspace of the output (method.md, 4 and 5)."""

from typing import TYPE_CHECKING, Literal

from lorap.methods.low_rank import LowRank

if TYPE_CHECKING:
    from torch import Tensor

    from lorap.core.statistics import Moments


class Afm(LowRank):
    """Atomic feature mimicking."""

    name: Literal["afm"] = "afm"
    statistic = "moment"

    def metric_of(self, moments: "Moments | None") -> "Tensor | None":
        """Covariance of the input, which W carries to the covariance of the output: (in, in)."""
        return None if moments is None else moments.covariance()
