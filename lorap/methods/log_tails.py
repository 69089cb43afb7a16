"""Ranks by what a uniform cut would lose in each layer, SVD-LLM v2's allocation (rivals.md, 5)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from lorap.core.budget import break_even_rank
from lorap.errors import LorapError
from lorap.methods.part import Share, Treatment
from lorap.methods.uniform import Uniform
from lorap.model.layer_plan import PROJECTIONS, LayerPlan, LayerShape

if TYPE_CHECKING:
    from torch import Tensor


class LogTails(Share):
    """Among the weights of a kind, q of all layers for one, the cut ratio goes as 1 / log of the tail's norm."""

    name: Literal["log-tails"] = "log-tails"
    scored: ClassVar[bool] = True

    def allot(
        self,
        treatments: Sequence[Treatment],
        shapes: Sequence[LayerShape],
        sparsity: float,
        scores: Sequence[Mapping[str, "Tensor"]],
    ) -> list[LayerPlan]:
        """The treatments' own ranks, spread over the layers; every kind keeps what it has in all.

        Raises:
            LorapError: No treatment factorises anything.
        """
        plans = Uniform().allot(treatments, shapes, sparsity, scores)
        kinds = [name for name in PROJECTIONS if name in scores[0]]
        if not kinds:
            raise LorapError(f"share {self.name}: no treatment factorises a weight; choose one that does")
        for name in kinds:
            uniform = plans[0].ranks[name]
            if uniform is None:
                continue
            best = int(break_even_rank(shapes[0].sizes[name]))
            ranks = ranks_by_tails([layer[name].tolist() for layer in scores], uniform, best)
            plans = [replace(plan, ranks=plan.ranks | {name: rank}) for plan, rank in zip(plans, ranks, strict=True)]
        return plans


def ranks_by_tails(spectra: Sequence[Sequence[float]], uniform: int, most: int) -> list[int]:
    """A rank for each of a kind of weights, which add up to as many as with the uniform one.

    Args:
        spectra: Squares of the singular values, largest first, sums over the calibration tokens.
        uniform: The rank that all of them would have.
        most: The rank at which factors are no smaller than the weight.
    """
    logs = [_log(math.sqrt(max(0.0, sum(values[uniform:])))) for values in spectra]
    cut = len(spectra) * (1 - uniform / most) / sum(1 / log for log in logs)
    ranks = [min(most, max(1, int(most * (1 - min(1.0, cut / log))))) for log in logs]
    spare = uniform * len(spectra) - sum(ranks)
    for _ in range(abs(spare)):
        if spare > 0:
            index = max((i for i, rank in enumerate(ranks) if rank < most), key=lambda i: spectra[i][ranks[i]])
            ranks[index] += 1
        else:
            index = min((i for i, rank in enumerate(ranks) if rank > 1), key=lambda i: spectra[i][ranks[i] - 1])
            ranks[index] -= 1
    return ranks


def _log(norm: float) -> float:
    """Never 0 or less, so that small tails are cut most."""
    return max(math.log(norm) if norm > 1 else math.log1p(norm), 1e-6)
