"""Activation-weighted SVD: an input feature counts as much as it is large (method.md, 4)."""

from torch import Tensor

from lorap.core.statistics import Moments

STATISTIC = "scale"


def metric(moments: Moments) -> Tensor:
    """d of the norm ||(W - W') diag(d)||_F: (in,)."""
    return moments.scale()
