"""Olica: LoRAP's nearest relative, whose v and o become narrower heads (rivals.md, 6).

q and k by awsvd. The part that o gives to a head, its rows weighed by the size of o's outputs, has singular directions
in the head's space; v and o are turned to them, and those that weigh least in both go. For grouped heads the parts of
all query heads that read one key-value head are stacked. Without the published linear calibration of the FFN.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from lorap.core.budget import QK, ROUNDING, rank_for
from lorap.methods.awsvd import Awsvd
from lorap.methods.low_rank import set_low_rank
from lorap.methods.narrow_heads import heads_of
from lorap.methods.part import Piece, Slot, Treatment
from lorap.methods.seen import Want
from lorap.model.layer_plan import LayerPlan, LayerShape
from lorap.model.sizes import Sizes, eigenvector_operations

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lorap.methods.seen import Seen

LIGHT = 0.4  # up to this sparsity q and k lose twice its fraction, as published


class Olica(Treatment):
    """q and k by low rank, more of them than of v and o: above a sparsity of 0.4 ``ratio`` times as much."""

    slot: ClassVar[Slot] = "attention"
    pieces: ClassVar[tuple[Piece, ...]] = ("qk", "vo")
    name: Literal["olica"] = "olica"
    ratio: Annotated[float, Field(ge=1, allow_inf_nan=False, description="what q and k lose for each of v and o")] = 3

    def shrunk(self, plan: LayerPlan, shape: LayerShape, sparsity: float) -> LayerPlan:
        """As published: more than the fraction where it is small, which the FFN makes up for by ``whole-budget``."""
        narrow = 2 * sparsity / (1 + self.ratio)
        low = 2 * sparsity if sparsity <= LIGHT else min(self.ratio * narrow, 1)
        return _planned(plan, shape, {"qk": 1 - low, "vo": 1 - narrow}, lambda size: math.ceil(size - ROUNDING))

    def fitted(
        self, plan: LayerPlan, shape: LayerShape, shares: Mapping[Piece, float], scores: Mapping[str, "Tensor"]
    ) -> LayerPlan:
        """The same share of q and k, and the same dimension of every head."""
        return _planned(plan, shape, shares, lambda size: int(size + ROUNDING))

    def wanted(self, shape: LayerShape, plan: LayerPlan | None) -> Sequence[Want]:
        """Sizes of what q, k and v read, and the moment that o's outputs are made of."""
        if plan is None or plan == replace(LayerPlan.dense(shape), channels=plan.channels, biases=plan.biases):
            return ()
        return [Want("attention_in", "squares"), Want("attention_out", "gram")]

    def apply(self, layer: "nn.Module", plan: LayerPlan, seen: "Seen") -> Mapping[str, "Tensor"]:
        """Factors for q and k, then narrow heads."""
        if Want("attention_in", "squares").key not in seen.moments:
            return {}
        for name in QK:
            set_low_rank(layer, name, plan.ranks[name], self.metric(name, seen))
        self._narrow(layer, plan, seen)
        return {}

    def _narrow(self, layer: "nn.Module", plan: LayerPlan, seen: "Seen") -> None:
        import torch

        from lorap.core.channels import kept_units
        from lorap.core.factorise import eigenvectors
        from lorap.model.heads import narrow_heads

        weight = seen.dense["o_proj"].float()
        outputs = (weight @ seen.of("attention_out").products_of() * weight).sum(1).clamp(min=0).sqrt()
        parts = heads_of(weight * outputs[:, None], plan.kv_heads, plan.heads).flatten(1, 2)
        values = (seen.dense["v_proj"].float() * seen.of("attention_in").scale()).view(
            plan.kv_heads, parts.shape[2], -1
        )
        scale = math.sqrt(seen.of("attention_in").tokens)
        encoders, decoders = [], []
        for part, value, dim in zip(parts, values, plan.value_dims(), strict=True):
            _, turn = eigenvectors(part.T @ part)
            rows = torch.linalg.vector_norm(turn.T @ value, dim=1)
            columns = torch.linalg.vector_norm(part @ turn, dim=0) * scale
            kept = kept_units(rows + columns, dim)
            encoders.append(turn[:, kept].T)
            decoders.append(turn[:, kept].expand(plan.heads // plan.kv_heads, -1, -1))
        narrow_heads(layer, encoders, decoders)

    def metric(self, projection: str, seen: "Seen") -> "Tensor | None":
        """That of awsvd, for q and k."""
        return Awsvd.model_construct().metric(projection, seen) if projection in QK else None

    def modules(self) -> tuple[str, ...]:
        """Also that of awsvd."""
        return (*super().modules(), Awsvd.__module__)

    def statistics_bytes(self, sizes: Sizes) -> int:
        """The moment of what o reads, in float32."""
        return 4 * sizes.hidden**2

    def workspace_bytes(self, sizes: Sizes) -> int:
        """A weight in float32 and float64, its Gram matrix, and the eigenvectors."""
        return 60 * sizes.hidden**2

    def solutions(self, shape: LayerShape, plan: LayerPlan) -> float:
        """The sizes of o's outputs; for each head a Gram matrix of o's columns, and both weights turned."""
        (out, inp), (_, hidden) = shape.sizes["o_proj"], shape.sizes["v_proj"]
        return out * inp * (inp + 2 * shape.head_dim) + shape.kv_heads * shape.head_dim**2 * hidden

    def eigenvector_operations(self, sizes: Sizes) -> int:
        """The eigenvectors of two Gram matrices of the model's width; those of heads are small."""
        return eigenvector_operations(sizes.hidden, 2)


def _planned(
    plan: LayerPlan, shape: LayerShape, shares: Mapping[Piece, float], whole: Callable[[float], int]
) -> LayerPlan:
    """Ranks and a dimension for these shares, made ``whole``; one is left of each."""
    ranks = {name: rank_for(shape.sizes[name], shares["qk"], whole) for name in QK}
    return replace(plan, ranks=plan.ranks | ranks, value_dim=max(1, whole(shares["vo"] * shape.head_dim)))
