"""Activation-weighted SVD: an input feature counts as much as it is large (method.md, 4)."""

from typing import TYPE_CHECKING, Literal

from lorap.methods.low_rank import LowRank

if TYPE_CHECKING:
    from torch import Tensor

    from lorap.core.statistics import Moments


class Awsvd(LowRank):
    """Activation-weighted SVD."""

    name: Literal["awsvd"] = "awsvd"
    statistic = "squares"

    def metric_of(self, moments: "Moments | None") -> "Tensor | None":
        """d of the norm ||(W - W') diag(d)||_F: (in,)."""
        return None if moments is None else moments.scale()
