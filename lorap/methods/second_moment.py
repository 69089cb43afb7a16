"""Low rank in the norm of the second moment of the inputs, shrunk to its diagonal (plus.md, 1).

Without shrinkage it keeps the error of the projection's own output smallest; shrunk all the way it is awsvd.
"""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from lorap.methods.low_rank import LowRank

if TYPE_CHECKING:
    from torch import Tensor

    from lorap.core.statistics import Moments

Shrinkage = Annotated[float, Field(ge=0, le=1, description="of a second moment towards its diagonal")]


class SecondMoment(LowRank):
    """E[x x^T], shrunk."""

    name: Literal["second-moment"] = "second-moment"
    statistic = "moment"
    shrinkage: Shrinkage = 0.1

    def metric_of(self, moments: "Moments | None") -> "Tensor | None":
        """(1 - s) E[x x^T] + s diag E[x x^T]: (in, in)."""
        from lorap.core.joint import shrunk

        return None if moments is None else shrunk(moments.second_moment(), self.shrinkage)
