"""A method made ready: what it plans for a layer, which statistics it asks for, and what it does to the weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor, nn

from lorap.core import budget
from lorap.core.factorise import relative_error
from lorap.core.statistics import Moments
from lorap.errors import LorapError
from lorap.methods import afm, awsvd, svd
from lorap.methods.factorisation import set_low_rank
from lorap.methods.prune import CHANNEL_DIM, prune_channels
from lorap.model.family import ATTENTION, FFN, INPUT_OF, PROJECTIONS, READERS, linear, projection
from lorap.model.modeling_lorap import LowRankLinear
from lorap.model.plan import LayerPlan

FACTORISATIONS: dict[str, ModuleType] = {"svd": svd, "awsvd": awsvd, "afm": afm}
ERROR_ONLY = "error"  # a scale that only the reported error needs: gathered where a pass runs anyway
FFN_TREATMENTS = ("prune", "decompose", "none")


@dataclass(frozen=True)
class Recipe:
    """A method at one sparsity.

    Attributes:
        attention: Name of the factorisation of q, k, v and o, or ``none``.
        ffn: ``prune``, ``decompose`` (with the attention's factorisation, awsvd where that is none) or ``none``.
        allocation: Parameters of v and o for each of q and k.
        keep_least: Fraction of the least important FFN channels that is kept.
        sparsity: Fraction of the weights of each treated sub-layer that goes.
    """

    attention: str
    ffn: str
    allocation: float
    keep_least: float
    sparsity: float

    @property
    def factorisation(self) -> ModuleType:
        """The factorisation that low ranks are made with."""
        return FACTORISATIONS["awsvd" if self.attention == "none" else self.attention]

    def plan(self, shapes: Mapping[str, budget.Shape]) -> LayerPlan:
        """The ranks and channels of a layer with these dense shapes (out, in)."""
        ranks: dict[str, int | None] = dict.fromkeys(PROJECTIONS)
        channels = shapes["gate_proj"][0]
        if self.attention != "none":
            ranks |= budget.attention_ranks({n: shapes[n] for n in ATTENTION}, self.sparsity, self.allocation)
        if self.ffn == "decompose":
            ranks |= budget.ffn_ranks({n: shapes[n] for n in FFN}, self.sparsity)
        elif self.ffn == "prune":
            channels -= len(budget.removed_positions(channels, self.sparsity, self.keep_least))
        return LayerPlan(ranks, channels)

    def statistics(self, plan: LayerPlan, width: int) -> dict[str, str]:
        """The inputs whose statistics the plan needs, in the order of the forward pass, and the kind of each.

        Args:
            plan: The plan of a layer.
            width: The FFN's width before compression.
        """
        kinds: dict[str, str] = {}
        for name, readers in READERS.items():
            if any(plan.ranks[reader] is not None for reader in readers):
                kinds[name] = self.factorisation.STATISTIC or ERROR_ONLY
            elif name.startswith("ffn") and plan.channels < width:
                kinds[name] = "scale"
        if set(kinds.values()) <= {ERROR_ONLY}:
            return {}
        return {name: "scale" if kind == ERROR_ONLY else kind for name, kind in kinds.items()}

    def apply(self, layer: nn.Module, plan: LayerPlan, moments: Mapping[str, Moments]) -> dict[str, float]:
        """Compresses a layer in place; returns the weighted relative error of every projection that changed."""
        dense = {name: linear(layer, name).weight for name in PROJECTIONS}
        kept = None
        if plan.channels < dense["gate_proj"].shape[0]:
            inputs = (moments["ffn_in"], moments["ffn_hidden"])
            kept = prune_channels(layer, self.sparsity, self.keep_least, *inputs)
        for name, rank in plan.ranks.items():
            if rank is not None:
                set_low_rank(layer, name, rank, self.factorisation, moments.get(INPUT_OF[name]))
        changed = [n for n in PROJECTIONS if plan.ranks[n] is not None or (kept is not None and n in FFN)]
        return {n: _error(n, dense[n], projection(layer, n), kept, moments.get(INPUT_OF[n])) for n in changed}


def _error(
    name: str, dense: Tensor, small: nn.Linear | LowRankLinear, kept: Tensor | None, moments: Moments | None
) -> float:
    """Relative error of what became of a weight, each input feature weighted by its scale where that is known."""
    if isinstance(small, LowRankLinear):
        approximation = small.left.weight.float() @ small.right.weight.float()
    elif kept is not None:
        approximation = torch.zeros_like(dense).index_copy_(CHANNEL_DIM[name], kept, small.weight)
    return relative_error(dense, approximation, moments.scale() if moments is not None else None)


def make_recipe(attention: str, ffn: str, allocation: float, keep_least: float, sparsity: float) -> Recipe:
    """A checked recipe.

    Raises:
        LorapError: An unknown treatment, or a sparsity outside [0, 1).
    """
    for option, value, allowed in (
        ("attention", attention, (*FACTORISATIONS, "none")),
        ("ffn", ffn, FFN_TREATMENTS),
    ):
        if value not in allowed:
            raise LorapError(f"{option}: unknown treatment {value!r}, expected one of {', '.join(allowed)}")
    if not 0 <= sparsity < 1:
        raise LorapError(f"sparsity: {sparsity} is outside [0, 1)")
    return Recipe(attention, ffn, allocation, keep_least, sparsity)
