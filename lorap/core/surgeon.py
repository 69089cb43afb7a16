"""Channels removed by what their loss costs once the others make up for it: the optimal brain surgeon (plus.md, 5)."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lorap.core.ridge import refit, unit_scale

ROUNDS = 48  # in which all channels would go: 32 a round of 1536


@dataclass(frozen=True)
class Round:
    """A round of removals.

    Attributes:
        kept: Indices of the channels that are left, ascending: (kept,), int64.
        cost: What the removal adds to the ridge objective at its optimum: ().
        scaled: The best weight of what is left, (out, kept), in the order of ``kept``, for channels of size 1.
        scale: The sizes of all channels.
    """

    kept: Tensor
    cost: Tensor
    scaled: Tensor
    scale: Tensor

    @property
    def weight(self) -> Tensor:
        """The best weight of what is left: (out, kept)."""
        return self.scaled / self.scale[self.kept]


def remove(weight: Tensor, cross: Tensor, gram: Tensor, ridge: float, least: int) -> Iterator[Round]:
    """Removes channels, those first whose loss costs least, until ``least`` are left.

    The objective is that of ``refit``; the weights of what is left are those that it would find from scratch.

    Args:
        weight: W, (out, channels).
        cross: X = E[t z^T] of the target and the channels, (out, channels).
        gram: K = E[z z^T], (channels, channels).
        ridge: More than 0.
        least: Channels to leave, at least 1.

    Yields:
        What is left after each round.

    Raises:
        torch.linalg.LinAlgError: K is not positive definite even with the ridge.
    """
    width, scale = len(gram), unit_scale(gram).float()
    inverse = (gram / scale / scale[:, None]).float()
    inverse.diagonal().add_(ridge)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(inverse))
    best = refit(weight, cross, gram, ridge) * scale
    alive = torch.arange(width, device=gram.device)
    while len(alive) > least:
        count = min(max(1, width // ROUNDS), len(alive) - least)
        order = (best.square().sum(0) / inverse.diagonal()).argsort(stable=True)
        gone, stay = order[:count], order[count:].sort().values
        rows = inverse[gone]
        block = torch.linalg.cholesky(rows[:, gone])
        lost = best[:, gone]
        cost = torch.linalg.solve_triangular(block, lost.T, upper=False).square().sum()
        shared = torch.cholesky_solve(rows[:, stay], block)
        best = torch.addmm(best[:, stay], lost, shared, alpha=-1)
        inverse = torch.addmm(inverse[stay][:, stay], rows[:, stay].T, shared, alpha=-1)
        alive = alive[stay]
        yield Round(alive, cost, best, scale)
