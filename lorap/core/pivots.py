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
        torch.linalg.LinAlgError: So many rows of each do not span the space of all.
    """
    exact = [in_float64(left) for left in lefts]
    taken = pivot_rows(exact, counts)
    basis = torch.cat([left[rows] for left, rows in zip(exact, taken, strict=True)])
    orders = [_in_front(rows, len(left)) for left, rows in zip(exact, taken, strict=True)]
    rests = [left[order[len(rows) :]] for left, rows, order in zip(exact, taken, orders, strict=True)]
    try:
        others = [torch.linalg.solve(basis, rest, left=False).float().to(right.device) for rest in rests]
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        raise torch.linalg.LinAlgError(  # type: ignore[attr-defined]
            "too few rows of the weights differ to stand for all of them; choose storage factors"
        ) from error
    rows = (basis @ in_float64(right)).float().to(right.device)
    return others, rows, [order.argsort().to(right.device) for order in orders]


def _in_front(rows: Tensor, count: int) -> Tensor:
    """Numbers up to ``count``, some rows first."""
    others = torch.ones(count, dtype=torch.bool, device=rows.device).index_fill(0, rows, False)
    return torch.cat([rows, others.nonzero()[:, 0]])


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
        if len(spanned) < rank:
            free = torch.linalg.qr(spanned.T, mode="complete").Q[:, len(spanned) :]
    return taken
