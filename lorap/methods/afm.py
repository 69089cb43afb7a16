"""Atomic feature mimicking: the principal subspace of the output (method.md, 4 and 5)."""

from torch import Tensor

from lorap.core.statistics import Moments

STATISTIC = "covariance"


def metric(moments: Moments) -> Tensor:
    """Covariance of the input, which W carries to the covariance of the output: (in, in)."""
    return moments.covariance()
