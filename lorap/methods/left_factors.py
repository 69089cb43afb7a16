"""Left factors solved again behind the compressed layers before them, SVD-LLM's sequential update (rivals.md, 5)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from lorap.errors import LorapError
from lorap.methods.part import Repair
from lorap.methods.refit import Ridge, solve_again
from lorap.methods.seen import Want
from lorap.model.layer_plan import INPUT_OF, READERS, LayerPlan, LayerShape
from lorap.model.sizes import Sizes

if TYPE_CHECKING:
    from torch import nn

    from lorap.methods.seen import Seen


class LeftFactors(Repair):
    """U = W G V^T (V G V^T)^-1 with G = E[x x^T] of the inputs as they come: the best factor beside the V there is."""

    name: Literal["left-factors"] = "left-factors"
    ridge: Ridge = 0

    def planned(self, plan: LayerPlan, shape: LayerShape) -> LayerPlan:
        """The plan as it is.

        Raises:
            LorapError: Projections share a right factor, of which pivots may be outputs of theirs.
        """
        if plan.shared:
            raise LorapError("repair left-factors: needs factors of their own, which joint-qk has not; take refit")
        return plan

    def wanted(self, shape: LayerShape, plan: LayerPlan | None) -> Sequence[Want]:
        """Second moments of the inputs of what has factors."""
        low = {name for name, rank in (plan.ranks if plan else {}).items() if rank is not None}
        return [Want(name, "gram") for name, readers in READERS.items() if low & set(readers)]

    def apply(self, layer: "nn.Module", plan: LayerPlan, seen: "Seen") -> None:
        """One projection after the other."""
        for name, rank in plan.ranks.items():
            if rank is not None:
                gram = seen.of(INPUT_OF[name]).products_of()
                solve_again(layer, seen, name, seen.dense[name].float() @ gram, gram, self.ridge)

    def solutions(self, shape: LayerShape, plan: LayerPlan) -> float:
        """For each projection a Gram matrix times two weights, a Cholesky factor and two triangular solutions."""
        sizes = plan.sizes(shape)
        return sum(
            inp**2 * (out + rank) + out * inp * rank + rank**3 / 6 + 2 * out * rank**2
            for (out, inp), rank in ((sizes[name], rank) for name, rank in plan.ranks.items() if rank is not None)
        )

    def statistics_bytes(self, sizes: Sizes) -> int:
        """The moments of the four inputs, in float32."""
        return 4 * (3 * sizes.hidden**2 + sizes.channels**2)

    def workspace_bytes(self, sizes: Sizes) -> int:
        """A Gram matrix, and weights in float64."""
        return 8 * (sizes.channels**2 + 3 * sizes.hidden * sizes.channels)
