"""FLAP: heads and channels by how much what they hold fluctuates (rivals.md, 3; An et al., AAAI 2024).

What hardly moves about its mean is replaced by it (``mean-bias``). With f the fluctuation of the inputs of o or down
over the calibration windows of the dense model, a column counts f_j (``ifv``), f_j |W_j|^2 (``wifv``) or
mean_i |W_ij| |x_j| (``wifn``), standardised over the columns of its layer; a key-value head counts the mean of its
columns, those of all query heads that read it.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from lorap.methods.removes_units import RemovesChannels, RemovesHeads, of_groups
from lorap.methods.seen import Want
from lorap.methods.wanda_sp import weighed
from lorap.model.layer_plan import INPUT_OF, LayerPlan, LayerShape

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lorap.core.statistics import Kind
    from lorap.methods.seen import Seen

Counts = Annotated[Literal["ifv", "wifv", "wifn"], Field(description="what a column counts in flap")]
Variant = Annotated[
    Literal["as_written", "as_published"],
    Field(description="the variance of the paper, or what the published code computes"),
]


class FlapHeads(RemovesHeads):
    """Heads; the published code squares what the columns of o count once more."""

    name: Literal["flap"] = "flap"
    swept: ClassVar[bool] = True
    counts: Counts = "wifv"
    variant: Variant = "as_written"

    def wanted(self, shape: LayerShape, plan: LayerPlan | None) -> Sequence[Want]:
        """Fluctuations of what o reads, in the sweep."""
        return _wanted("o_proj", self.counts, self.variant) if plan is None else ()

    def scores(self, layer: "nn.Module", seen: "Seen") -> Mapping[str, "Tensor"]:
        """The importance of every key-value head."""
        from lorap.model.units import count

        columns = _columns(layer, seen, "o_proj", self.counts, self.variant)
        columns = standardised(columns.square() if self.variant == "as_published" else columns)
        groups = count(layer, "kv_heads")
        return {"kv_heads": of_groups(columns, groups) * (groups / len(columns))}


class FlapChannels(RemovesChannels):
    """Channels."""

    name: Literal["flap"] = "flap"
    swept: ClassVar[bool] = True
    counts: Counts = "wifv"
    variant: Variant = "as_written"

    def wanted(self, shape: LayerShape, plan: LayerPlan | None) -> Sequence[Want]:
        """Fluctuations of what the channels hold, in the sweep."""
        return _wanted("down_proj", self.counts, self.variant) if plan is None else ()

    def scores(self, layer: "nn.Module", seen: "Seen") -> Mapping[str, "Tensor"]:
        """The importance of every channel."""
        return {"channels": standardised(_columns(layer, seen, "down_proj", self.counts, self.variant))}


def standardised(values: "Tensor") -> "Tensor":
    """Less their mean, in units of their deviation; 0 where all are the same."""
    deviation = values.std()
    return (values - values.mean()) / deviation.where(deviation > 0, 1)


def _wanted(name: str, counts: str, variant: str) -> Sequence[Want]:
    kinds: Sequence[Kind] = ["fluctuation"] if variant == "as_published" else ["squares", "mean"]
    return [Want(INPUT_OF[name], kind) for kind in kinds if counts != "wifn"] or [Want(INPUT_OF[name], "squares")]


def _columns(layer: "nn.Module", seen: "Seen", name: str, counts: str, variant: str) -> "Tensor":
    """What every column of a projection counts: (in,), float32."""
    import torch

    from lorap.model.family import linear

    moments = seen.of(INPUT_OF[name])
    if counts == "wifn":
        return weighed(layer, name, moments.scale())
    moved = moments.published.sums if moments.published else moments.variance()
    if counts == "ifv":
        return moved
    return moved * torch.linalg.vector_norm(linear(layer, name).weight.float(), dim=0).square()
