"""One right factor for queries and keys, in the metric of what they do to the attention's output (plus.md, 2)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lorap.core.factorise import eigenvectors, in_float64, top_subspace

FLOOR = 1e-7  # of the largest eigenvalue of a head's metric


def joint_factors(
    weights: Sequence[Tensor], metrics: Sequence[Tensor], moment: Tensor, rank: int
) -> tuple[list[Tensor], Tensor]:
    """Minimises tr(A (W - W') C (W - W')^T) over W' of a rank; W are the weights one below the other.

    Args:
        weights: Of projections with the same input, (out, in) each.
        metrics: Their blocks of the block diagonal A, (heads, d, d) with heads * d = out.
        moment: C, positive definite: (in, in).
        rank: At most ``in`` and the sum of ``out``.

    Returns:
        The left factors, (out, rank), and the right one that they share, (rank, in), all float32.
    """
    device = weights[0].device
    weighted, inverse = _weighted(weights, metrics)
    _, basis = top_subspace(weighted, rank, in_float64(moment))
    left = _by_block(inverse, basis).float().to(device)
    return list(torch.split(left, [len(weight) for weight in weights])), (basis.T @ weighted).float().to(device)


def joint_spectrum(weights: Sequence[Tensor], metrics: Sequence[Tensor], moment: Tensor) -> Tensor:
    """The eigenvalues whose tails are the least errors of ``joint_factors``, largest first: (min(sum of out, in),)."""
    weighted, _ = _weighted(weights, metrics)
    return top_subspace(weighted, min(weighted.shape), in_float64(moment))[0].clamp(min=0)


def _weighted(weights: Sequence[Tensor], metrics: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """A^1/2 W, (sum of out, in), and the blocks of A^-1/2, (heads, d, d)."""
    roots, inverses = zip(*(block_roots(in_float64(metric)) for metric in metrics), strict=True)
    return _by_block(torch.cat(roots), torch.cat([in_float64(weight) for weight in weights])), torch.cat(inverses)


def joint_error(changes: Sequence[Tensor], metrics: Sequence[Tensor], moment: Tensor) -> Tensor:
    """tr(A dW C dW^T) of changes of the weights, (out, in) each: ()."""
    parts = []
    for change, metric in zip(changes, metrics, strict=True):
        change, metric = in_float64(change), in_float64(metric)
        parts.append((_by_block(metric, change) * (change @ in_float64(moment))).sum())
    return torch.stack(parts).sum()


def block_roots(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """The root of every symmetric block, and its inverse, with eigenvalues floored: (heads, d, d) each."""
    values, vectors = eigenvectors(blocks)
    roots = values.clamp(min=FLOOR * values.amax(-1, keepdim=True).clamp(min=torch.finfo(values.dtype).tiny)).sqrt()
    turned = vectors.transpose(-1, -2)
    return (vectors * roots[:, None]) @ turned, (vectors / roots[:, None]) @ turned


def shrunk(moment: Tensor, shrinkage: float) -> Tensor:
    """(1 - s) C + s diag C, of one matrix or of several: (..., n, n)."""
    return (1 - shrinkage) * moment + shrinkage * torch.diag_embed(moment.diagonal(dim1=-2, dim2=-1))


def _by_block(blocks: Tensor, matrix: Tensor) -> Tensor:
    """A block diagonal matrix times another one: (heads, d, d) and (heads * d, n) to (heads * d, n)."""
    return (blocks @ matrix.view(len(blocks), -1, matrix.shape[1])).reshape(matrix.shape)
