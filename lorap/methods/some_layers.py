"""A share for the layers in the middle of a model: those at both ends stay dense (rivals.md, 4)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from lorap.errors import LorapError
from lorap.methods.part import Share, Treatment
from lorap.model.layer_plan import LayerPlan, LayerShape

if TYPE_CHECKING:
    from torch import Tensor


class Middle(Share):
    """What shares that leave out layers at the ends have in common; both ends are fractions of the depth, rounded."""

    skip_first: Annotated[float, Field(ge=0, lt=1, description="of the layers, at the beginning, that stay dense")] = 0
    skip_last: Annotated[float, Field(ge=0, lt=1, description="of the layers, at the end, that stay dense")] = 0

    def inside(self, count: int) -> range:
        """The layers that are cut.

        Raises:
            LorapError: There are none.
        """
        found = range(round(self.skip_first * count), count - round(self.skip_last * count))
        if not found:
            raise LorapError(f"share {self.name}: none of {count} layers is cut; lower --skip-first or --skip-last")
        return found


class SomeLayers(Middle):
    """The sparsity is that of the layers in the middle, each by the treatments' own rules; the model loses less."""

    name: Literal["some-layers"] = "some-layers"

    def allot(
        self,
        treatments: Sequence[Treatment],
        shapes: Sequence[LayerShape],
        sparsity: float,
        scores: Sequence[Mapping[str, "Tensor"]],
    ) -> list[LayerPlan]:
        """Layer by layer."""
        plans = [LayerPlan.dense(shape) for shape in shapes]
        for index in self.inside(len(shapes)):
            for treatment in treatments:
                plans[index] = treatment.shrunk(plans[index], shapes[index], sparsity)
        return plans
