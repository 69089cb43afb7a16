"""o and down, and v where that is wanted, solved again behind what has become of their inputs (plus.md, 4)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from lorap.errors import LorapError
from lorap.methods.part import Repair
from lorap.methods.seen import Want
from lorap.methods.solving import FLOOR
from lorap.model.layer_plan import FFN, INPUT_OF, LayerPlan, LayerShape
from lorap.model.sizes import Sizes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lorap.core.statistics import Kind
    from lorap.methods.seen import Seen

Ridge = Annotated[float, Field(ge=0, allow_inf_nan=False, description="pull of a refit to the old weights")]
DenseTarget = Annotated[
    float, Field(ge=0, le=1, description="how far down aims at the dense model's stream, not at its own FFN's output")
]
ValueTarget = Annotated[
    float, Field(ge=0, le=1, description="how far v aims at what it gives on the dense model's stream; 0 leaves it")
]
TokenWeights = Annotated[
    Literal["relative", "alike"],
    Field(description="whether a token's error counts relative to the dense residual stream, or like any other's"),
]


class Refit(Repair):
    """Least squares with a ridge of every feature's own size."""

    name: Literal["refit"] = "refit"
    ridge: Ridge = 1
    dense_target: DenseTarget = 0.25
    value_target: ValueTarget = 0
    token_weights: TokenWeights = "relative"

    def planned(self, plan: LayerPlan, shape: LayerShape) -> LayerPlan:
        """The plan as it is.

        Raises:
            LorapError: What the channels hold is no longer what they held.
        """
        if any(plan.ranks[name] is not None for name in FFN):
            raise LorapError("repair refit: needs an ffn treatment that removes channels, as prune and obs do")
        return plan

    def wanted(self, shape: LayerShape, plan: LayerPlan | None) -> Sequence[Want]:
        """Moments of o's inputs with themselves and with what they were, of the channels, and of v's inputs."""
        attention = moments_behind("attention_out", ["gram", "before"], self.weighted)
        values = [Want("attention_in", "gram"), Want("attention_in", "counterpart")] if self.value_target else []
        return [*values, *attention, *of_channels(self.dense_target, self.weighted)]

    @property
    def weighted(self) -> bool:
        """Whether tokens count relative to the dense stream, which has to be carried along then."""
        return self.token_weights == "relative"

    def mend_values(self, layer: "nn.Module", plan: LayerPlan, seen: "Seen") -> None:
        """Solves v for the mixture of what it gives on the stream as it comes, and on the dense model's."""
        if self.value_target:
            inputs = seen.of("attention_in")
            gram = inputs.products_of()
            goal = gram.lerp(inputs.products_of("counterpart"), self.value_target)
            solve_again(layer, seen, "v_proj", seen.dense["v_proj"].float() @ goal, gram, self.ridge)

    def mend_attention(self, layer: "nn.Module", plan: LayerPlan, seen: "Seen") -> None:
        """Solves o for the output that the dense attention has on the same stream."""
        from lorap.model.family import has

        if has(layer, "o_proj"):
            inputs = seen.of("attention_out", behind="attention", weighted=self.weighted)
            cross = seen.dense["o_proj"].float() @ inputs.products_of("before")
            solve_again(layer, seen, "o_proj", cross, inputs.products_of(), self.ridge)

    def apply(self, layer: "nn.Module", plan: LayerPlan, seen: "Seen") -> None:
        """Solves down for the mixed target, with the channels that are left."""
        from lorap.model.family import has

        if has(layer, "down_proj"):
            gram, cross = moments_of_channels(seen, self.dense_target, self.weighted)
            prior, kept = seen.dense["down_proj"], seen.kept.get("channels")
            if kept is not None:
                gram, cross, prior = gram[kept][:, kept], cross[:, kept], prior[:, kept]
            solve_again(layer, seen, "down_proj", cross, gram, self.ridge, prior)

    def solutions(self, shape: LayerShape, plan: LayerPlan) -> float:
        """For each of them a Gram matrix times a weight, a Cholesky factor and two triangular solutions."""
        sizes = [plan.sizes(shape)[name] for name in ("o_proj", "down_proj")]
        solved = sum(inp**3 / 6 + 2 * out * inp**2 for out, inp in sizes) + shape.channels**2 * sizes[0][0]
        out, inp = shape.sizes["v_proj"]
        return solved + (inp**3 / 6 + 3 * out * inp**2 if self.value_target else 0)

    def statistics_bytes(self, sizes: Sizes) -> int:
        """The moments of the inputs, in float32; inputs that are kept whole are not among them."""
        inputs = (4 if self.value_target else 2) * sizes.hidden**2
        return 4 * (inputs + sizes.channels**2 + sizes.hidden * sizes.channels)

    def workspace_bytes(self, sizes: Sizes) -> int:
        """A Gram matrix in the order of what is left, its factor, and the weights that are solved for."""
        return 4 * (3 * sizes.channels**2 + 4 * sizes.hidden * sizes.channels)


def of_channels(dense_target: float, weighted: bool) -> list[Want]:
    """What a solution for down wants of the channels; only a target in the dense stream needs that stream."""
    return moments_behind("ffn_hidden", ["gram", "gap"] if dense_target else ["gram"], weighted)


def moments_behind(name: str, kinds: Sequence["Kind"], weighted: bool) -> list[Want]:
    """Moments of an input behind the compressed attention."""
    return [Want(name, kind, behind="attention", weighted=weighted) for kind in kinds]


def moments_of_channels(seen: "Seen", dense_target: float, weighted: bool) -> tuple["Tensor", "Tensor"]:
    """K = E[z z^T] of the channels, and X = E[t z^T] of the target, for which no product with down is needed.

    Returns:
        (channels, channels) and (hidden, channels), float32.
    """
    hidden = seen.of("ffn_hidden", behind="attention", weighted=weighted)
    gram = hidden.products_of()
    own = seen.dense["down_proj"].float() @ gram
    if not dense_target:
        return gram, own
    return gram, dense_target * hidden.products_of("gap") + (1 - dense_target) * own


def solve_again(
    layer: "nn.Module",
    seen: "Seen",
    name: str,
    cross: "Tensor",
    gram: "Tensor",
    ridge: float,
    prior: "Tensor | None" = None,
) -> None:
    """Refits a projection in the form that it has, of a pair of factors the left one; ``prior`` in place of its own."""
    from lorap.model.family import bias_of, linear, projection
    from lorap.model.modeling_lorap import LowRankLinear
    from lorap.model.swap import set_factors, set_linear

    module = projection(layer, name)
    if not isinstance(module, LowRankLinear):
        weight = linear(layer, name).weight if prior is None else prior
        fitted = _floored(seen, INPUT_OF[name], weight, cross, gram, ridge)
        set_linear(layer, name, fitted.to(weight.dtype), linear(layer, name).bias)
        return
    left, right = module.factors()
    thin = right.float()
    fitted = _floored(seen, INPUT_OF[name], left, cross @ thin.T, thin @ gram @ thin.T, ridge)
    set_factors(layer, name, fitted.to(left.dtype), right, bias_of(module))


def _floored(seen: "Seen", name: str, weight: "Tensor", cross: "Tensor", gram: "Tensor", ridge: float) -> "Tensor":
    """A refit; where the moment is not positive definite with the ridge it gets a floor, and ``seen`` knows of it."""
    import torch

    from lorap.core.ridge import refit, refit_where_seen

    try:
        return refit(weight, cross, gram, ridge)
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        seen.floored[name] = ridge
    return refit_where_seen(weight, cross, gram, FLOOR)
