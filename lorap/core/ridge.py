"""Least squares beside old weights: a projection solved again behind inputs that have changed (plus.md, 4)."""

import torch
from torch import Tensor

from lorap.core.factorise import in_float64

FLOOR = 1e-7  # of the mean of a Gram matrix's diagonal, for features that are always 0
FLOAT32_SOLVES = 1e-2  # with at least this ridge the scaled system is solved in float32


def refit(weight: Tensor, cross: Tensor, gram: Tensor, ridge: float) -> Tensor:
    """The weight that comes nearest to a target, W + (X - W K)(K + ridge D)^-1, pulled to what it was.

    It minimises E|t - W' f|^2 + ridge * sum_c D_c |W'_c - W_c|^2; D, the diagonal of K, gives every input feature a
    ridge of its own size.

    Args:
        weight: W, (out, in).
        cross: X = E[t f^T] of the target and the inputs, (out, in).
        gram: K = E[f f^T], (in, in).
        ridge: At least 0.

    Returns:
        (out, in), float32.

    Raises:
        torch.linalg.LinAlgError: K is not positive definite, and there is no ridge that makes it so.
    """
    work = torch.Tensor.float if ridge >= FLOAT32_SOLVES else in_float64
    scale = unit_scale(gram)
    scaled = work(gram / scale / scale[:, None])
    scaled.diagonal().add_(ridge)
    gap = work((cross - weight.to(cross) @ gram.to(cross)) / scale)
    change = torch.cholesky_solve(gap.T, torch.linalg.cholesky(scaled)).T / work(scale)
    return weight.float() + change.float().to(weight.device)


def refit_where_seen(weight: Tensor, cross: Tensor, gram: Tensor, floor: float) -> Tensor:
    """The least change that minimises E|t - W' f|^2 in the directions of f that occur; in others W stays as it is.

    Args:
        weight: W, (out, in).
        cross: X = E[t f^T], (out, in).
        gram: K = E[f f^T], (in, in), positive definite or not.
        floor: Eigenvalues of K below this part of the largest one count as 0.

    Returns:
        (out, in), float32.
    """
    gap = in_float64(cross - weight.to(cross) @ gram.to(cross))
    change = gap @ torch.linalg.pinv(in_float64(gram), rtol=floor, hermitian=True)
    return weight.float() + change.float().to(weight.device)


def unit_scale(gram: Tensor) -> Tensor:
    """The root of a Gram matrix's diagonal, by which both sides are divided so that the diagonal becomes 1: (in,)."""
    diagonal = gram.diagonal()
    return torch.maximum(diagonal, FLOOR * diagonal.mean()).sqrt()
