"""SVD-LLM: low rank in the norm of the whole second moment of the dense model's activations (rivals.md, 5).

Wang et al., ICLR 2025. The published route, a Cholesky factor of the moment and its inverse, leads to U U^T W with U
the top eigenvectors of W M W^T, which needs neither, so that a singular moment does no harm.
"""

from typing import TYPE_CHECKING, ClassVar, Literal

from lorap.methods.low_rank import Allocation, LowRank
from lorap.methods.seen import Stream

if TYPE_CHECKING:
    from torch import Tensor

    from lorap.core.statistics import Moments


class SvdLlm(LowRank):
    """Without shrinkage; all projections keep the same fraction."""

    name: Literal["svd-llm"] = "svd-llm"
    statistic = "gram"
    stream: ClassVar[Stream] = "dense"
    allocation: Allocation = 1

    def metric_of(self, moments: "Moments | None") -> "Tensor | None":
        """E[x x^T]: (in, in)."""
        return None if moments is None else moments.products_of()
