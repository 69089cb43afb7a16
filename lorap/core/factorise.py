"""Low-rank factors of a weight: one idea, three metrics (method.md, 4 and 5).

``left @ right = U U^T W`` with U the top eigenvectors of W M W^T: M = I is the plain SVD, M = diag(d)^2 weighs each
input feature by its size, M = Cov[x] finds the principal subspace of the output. No inverse of the metric and no full
SVD is needed; the eigenvectors of the smaller Gram matrix are enough.
"""

import torch
from torch import Tensor

# Below this ratio of the last kept to the largest eigenvalue a float32 Gram matrix blurs the subspace. The error stays
# near the optimum for long, but W' itself moves, and on a real model of 135M parameters 1e-5 of it, layer after layer,
# made a total variation of 0.1 of next-token distributions.
FLOAT32_RESOLVES = 5e-2
POWER_ITERATIONS = 8


def factorise(weight: Tensor, rank: int, metric: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The best rank-``rank`` approximation of a weight in the norm of a metric.

    Args:
        weight: (out, in).
        rank: Inner width of the factors, at most min(out, in).
        metric: None for the plain norm, (in,) for the d of M = diag(d)^2, (in, in) for a full M.

    Returns:
        ``left`` (out, rank) with orthonormal columns and ``right`` (rank, in), both float32.
    """
    weight = weight.float()
    if not surely_blurred(weight, rank, metric):
        values, left = top_subspace(weight, rank, metric)
        if values[-1] >= FLOAT32_RESOLVES * values[0]:
            return left, left.T @ weight
    weight, metric = weight.double(), None if metric is None else metric.double()
    _, left = top_subspace(weight, rank, metric)
    return left.float(), (left.T @ weight).float()


def surely_blurred(weight: Tensor, rank: int, metric: Tensor | None) -> bool:
    """Whether float32 cannot do, told without an eigendecomposition; False where only that can tell.

    The second to the ``rank``-th eigenvalue share what the first leaves of the trace, which bounds the last of them. A
    few power iterations find the first, from below, so the bound stays one.
    """
    if metric is not None and metric.dim() == 2:
        return True
    weighted = weigh(weight, metric)
    vector = weighted.abs().sum(0)
    for _ in range(POWER_ITERATIONS):
        vector = weighted.T @ (weighted @ vector)
        vector = vector / vector.norm()
    largest = (weighted @ vector).square().sum()
    rest = weighted.square().sum() - largest
    return bool(rest < (rank - 1) * FLOAT32_RESOLVES * largest)


def top_subspace(weight: Tensor, rank: int, metric: Tensor | None) -> tuple[Tensor, Tensor]:
    """The ``rank`` largest eigenvalues of W M W^T, largest first, and orthonormal vectors (out, rank) spanning them."""
    if weight.shape[0] <= weight.shape[1]:
        return top_eigenvectors(output_gram(weight, metric), rank)
    weighted = weigh(weight, metric)  # the Gram matrix on the input side is smaller; it leads to the same subspace
    values, vectors = top_eigenvectors(weighted.T @ weighted, rank)
    return values, torch.linalg.qr(weighted @ vectors).Q


def weigh(weight: Tensor, metric: Tensor | None) -> Tensor:
    """W C with C C^T = M, so that its plain norm is the norm of the metric: (out, in)."""
    if metric is None:
        return weight
    if metric.dim() == 1:
        return weight * metric
    values, vectors = torch.linalg.eigh(metric)
    return weight @ (vectors * values.clamp(min=0).sqrt())


def output_gram(weight: Tensor, metric: Tensor | None) -> Tensor:
    """W M W^T: (out, out)."""
    if metric is not None and metric.dim() == 2:
        return weight @ metric @ weight.T
    weighted = weigh(weight, metric)
    return weighted @ weighted.T


def top_eigenvectors(gram: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The ``rank`` largest eigenvalues of a symmetric matrix, largest first, and their eigenvectors (n, rank)."""
    values, vectors = torch.linalg.eigh(gram)
    return values[-rank:].flip(0), vectors[:, -rank:].flip(1)


def relative_error(weight: Tensor, approximation: Tensor, metric: Tensor | None) -> float:
    """||W - W'|| / ||W|| in the norm of a metric, as ``factorise`` takes it; the plain one where that sees nothing."""
    weight, approximation = weight.float(), approximation.float()
    size = _norm(weight, metric)
    if size == 0:
        return relative_error(weight, approximation, None) if metric is not None else 0.0
    return float(_norm(weight - approximation, metric) / size)


def _norm(weight: Tensor, metric: Tensor | None) -> Tensor:
    """The root of the trace of W M W^T."""
    if metric is not None and metric.dim() == 2:
        return (weight @ metric * weight).sum().clamp(min=0).sqrt()
    return torch.linalg.matrix_norm(weigh(weight, metric))


def spectrum(weight: Tensor, scale: Tensor | None) -> Tensor:
    """Singular values of W diag(d), largest first: (min(out, in),)."""
    weighted = weigh(weight.float(), scale).double()
    gram = weighted @ weighted.T if weight.shape[0] <= weight.shape[1] else weighted.T @ weighted
    return torch.linalg.eigvalsh(gram).clamp(min=0).sqrt().flip(0)


def truncate(left: Tensor, right: Tensor, rank: int, scale: Tensor | None) -> tuple[Tensor, Tensor]:
    """The best lower rank of a product in the norm ||(left right - result) diag(d)||_F, without the product itself.

    A thin QR of either factor leaves a small core, whose SVD finds the subspace to keep.

    Args:
        left: (out, m).
        right: (m, in).
        rank: At most m.
        scale: d, (in,); None for the plain norm.

    Returns:
        Factors (out, rank), its columns orthonormal, and (rank, in), both float32.
    """
    left, right = left.double(), right.double()
    basis, inner = torch.linalg.qr(left)
    weighted = weigh(right, None if scale is None else scale.double())
    core = inner @ torch.linalg.qr(weighted.T).R.T
    kept = torch.linalg.svd(core).U[:, :rank]
    return (basis @ kept).float(), (kept.T @ inner @ right).float()
