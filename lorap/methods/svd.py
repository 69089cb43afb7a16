"""Plain SVD: every input feature counts the same; nothing about the data is used."""

from typing import TYPE_CHECKING, Literal

from lorap.methods.low_rank import LowRank

if TYPE_CHECKING:
    from torch import Tensor

    from lorap.core.statistics import Moments


class Svd(LowRank):
    """Plain SVD."""

    name: Literal["svd"] = "svd"
    statistic = None

    def metric_of(self, moments: "Moments | None") -> "Tensor | None":
        """No metric: the plain norm ||W - W'||_F."""
        return None
