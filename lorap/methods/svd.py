"""Plain SVD: every input feature counts the same; nothing about the data is used."""

from torch import Tensor

from lorap.core.statistics import Moments

STATISTIC = None


def metric(moments: Moments | None) -> Tensor | None:
    """No metric: the plain norm ||W - W'||_F."""
    return None
