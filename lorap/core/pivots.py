"""A weight of a low rank in fewer numbers: some of its own rows in the place of the right factor (plus.md, 2)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lorap.core.factorise import in_float64


def pivoted(lefts: Sequence[Tensor], right: Tensor, counts: Sequence[int]) -> tuple[list[Tensor], Tensor, list[Tensor]]:
    """The same products, written as combinations of ``rank`` rows of their own.

    Args:
        lefts: (out, rank) of weights that share the right factor.
        right: (rank, in).
        counts: How many rows are taken of each weight; their sum is the rank.

    Returns:
        Of each weight what makes its other rows of those taken, (out - count, rank); the rows taken, (rank, in); for
        each weight where its rows lie in those taken of it and the others behind them, (out,). The first two are
        float32.

    Raises:
        RuntimeError: No such rows span the space of all.
    """
    exact = [in_float64(left) for left in lefts]
    taken = pivot_rows(exact, counts)
    basis = torch.cat([left[rows] for left, rows in zip(exact, taken, strict=True)])
    others, orders = [], []
    for left, rows in zip(exact, taken, strict=True):
        rest = torch.ones(len(left), dtype=torch.bool, device=left.device).index_fill(0, rows, False).nonzero()[:, 0]
        others.append(torch.linalg.solve(basis, left[rest], left=False).float().to(right.device))
        orders.append(torch.cat([rows, rest]).argsort().to(right.device))
    return others, (basis @ in_float64(right)).float().to(right.device), orders


def pivot_rows(lefts: Sequence[Tensor], counts: Sequence[int]) -> list[Tensor]:
    """Rows, so many of each matrix, that together span the space of all.

    They are those that an LU factorisation swaps to the top of each matrix, (out, rank), in the space that the rows of
    the matrices before it leave.
    """
    rank = sum(counts)
    free, spanned, taken = torch.eye(rank).to(lefts[0]), lefts[0][:0], []
    for left, count in zip(lefts, counts, strict=True):
        swapped, _, _ = torch.linalg.lu(left @ free[:, :count])
        taken.append(swapped.argmax(0)[:count])
        spanned = torch.cat([spanned, left[taken[-1]]])
        free = torch.linalg.qr(spanned.T, mode="complete").Q[:, len(spanned) :]
    return taken
