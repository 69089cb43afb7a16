"""Low-rank factors of a weight: one idea, three metrics (method.md, 4 and 5).

``left @ right = U U^T W`` with U the top eigenvectors of W M W^T: M = I is the plain SVD, M = diag(d)^2 weighs each
input feature by its size, M = Cov[x] finds the principal subspace of the output. No inverse of the metric and no full
SVD is needed; the eigenvectors of the smaller Gram matrix are enough.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from lorap.core.blocks import FILTERED_FROM
from lorap.core.subspace import filtered_subspace

# Below this ratio of the last kept to the largest eigenvalue a float32 Gram matrix blurs the subspace. The error stays
# near the optimum for long, but W' itself moves, and on a real model of 135M parameters 1e-5 of it, layer after layer,
# made a total variation of 0.1 of next-token distributions.
FLOAT32_RESOLVES = 5e-2
POWER_ITERATIONS = 20
FULL_RATE = ((6, 0), (7, 0), (8, 0), (9, 0), (10, 0))  # compute capabilities whose float64 is half as fast as float32


def factorise(weight: Tensor, rank: int, metric: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The best rank-``rank`` approximation of a weight in the norm of a metric.

    Args:
        weight: (out, in).
        rank: Inner width of the factors, at most min(out, in).
        metric: None for the plain norm, (in,) for the d of M = diag(d)^2, (in, in) for a full M.

    Returns:
        ``left`` (out, rank) with orthonormal columns and ``right`` (rank, in), both float32.
    """
    device, weight = weight.device, weight.float()
    if not is_blurred(weight, rank, metric):
        values, left = top_subspace(weight, rank, metric)
        if values[-1] >= FLOAT32_RESOLVES * values[0]:
            return left, left.T @ weight
    weight = in_float64(weight)
    metric = None if metric is None else metric.to(weight)
    _, left = top_subspace(weight, rank, metric)
    return left.float().to(device), (left.T @ weight).float().to(device)


def in_float64(tensor: Tensor) -> Tensor:
    """The same in float64, on the CPU where its device has no such numbers."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()


def is_blurred(weight: Tensor, rank: int, metric: Tensor | None) -> bool:
    """Whether a float32 Gram matrix cannot tell the subspace, found without an eigendecomposition.

    The largest eigenvalue is found from below, so that no True is wrong, and a False is rarely so. Some are told by a
    bound: the second to the ``rank``-th eigenvalue share what the first leaves of the trace. For the
    others the eigenvalues above the threshold are counted by Sylvester's law of inertia, from a factorisation L D L^T
    that takes a fraction of the time of an eigendecomposition. Where float64 is fast, nothing is to be gained.
    """
    if metric is not None and metric.dim() == 2:
        return True
    if has_full_rate(weight.device):
        return True
    weighted = weigh(weight, metric)
    vector = weighted.abs().sum(0)
    for _ in range(POWER_ITERATIONS):
        vector = weighted.T @ (weighted @ vector)
        vector = vector / vector.norm()
    largest = (weighted @ vector).square().sum()
    rest = weighted.square().sum() - largest
    if bool(rest < (rank - 1) * FLOAT32_RESOLVES * largest):
        return True
    gram = weighted @ weighted.T if weight.shape[0] <= weight.shape[1] else weighted.T @ weighted
    return count_above(gram, FLOAT32_RESOLVES * largest) < rank


def has_full_rate(device: torch.device) -> bool:
    """Whether a device is a GPU on which float64 is about half as fast as float32."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) in FULL_RATE


def count_above(gram: Tensor, threshold: Tensor) -> int:
    """How many eigenvalues of a symmetric matrix are above a threshold: the positive ones of D in L D L^T."""
    shifted = gram.clone()
    shifted.diagonal().sub_(threshold)
    packed, pivots = torch.linalg.ldl_factor(shifted.cpu() if shifted.is_mps else shifted)
    single, paired = (pivots > 0) & (packed.diagonal() > 0), pivots < 0
    return int(single.sum() + paired.sum() // 2)  # a block of two, whose pivots are negative, has one of either sign


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
    values, vectors = eigenvectors(metric)
    return weight @ (vectors * values.clamp(min=0).sqrt())


def output_gram(weight: Tensor, metric: Tensor | None) -> Tensor:
    """W M W^T: (out, out)."""
    if metric is not None and metric.dim() == 2:
        return weight @ metric @ weight.T
    weighted = weigh(weight, metric)
    return weighted @ weighted.T


def top_eigenvectors(gram: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The ``rank`` largest eigenvalues of a symmetric matrix, largest first, and their eigenvectors (n, rank).

    Large ones of a GPU are found by products where float64 serves; which way is taken depends on sizes, never on time.
    """
    if gram.is_cuda and gram.dtype is torch.float64 and len(gram) >= FILTERED_FROM:
        found = filtered_subspace(gram, rank)
        if found is not None:
            return found
    values, vectors = eigenvectors(gram)
    return values[-rank:].flip(0), vectors[:, -rank:].flip(1)


def eigenvectors(gram: Tensor) -> tuple[Tensor, Tensor]:
    """``torch.linalg.eigh``, whose solvers on GPUs at times give up: then in float64, and then on the CPU.

    Raises:
        torch.linalg.LinAlgError: None of them can.
    """
    try:
        values, vectors = torch.linalg.eigh(gram)
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        if gram.dtype is torch.float64 and gram.device.type == "cpu":
            raise torch.linalg.LinAlgError(  # type: ignore[attr-defined]
                f"no solver finds the eigenvectors, in float64 on the CPU neither ({error}); "
                "are its weights or the calibration damaged?"
            ) from error
        again = gram.cpu() if gram.dtype is torch.float64 else in_float64(gram)
        values, vectors = eigenvectors(again)
    return values.to(gram), vectors.to(gram)


def relative_error(weight: Tensor, approximation: Tensor, metric: Tensor | None) -> Tensor:
    """||W - W'|| / ||W|| in the norm of a metric, as ``factorise`` takes it; the plain one where that sees nothing: ().

    It stays on its device, where a GPU may still be at work on it.
    """
    weight, approximation = weight.float(), approximation.float()
    size = _norm(weight, metric)
    blind = torch.zeros_like(size) if metric is None else relative_error(weight, approximation, None)
    return torch.where(size == 0, blind, _norm(weight - approximation, metric) / size)


def numbers(errors: Mapping[str, Tensor]) -> dict[str, float]:
    """The numbers of all projections, for which a device is waited for once."""
    return dict(zip(errors, torch.stack(list(errors.values())).tolist(), strict=True)) if errors else {}


def _norm(weight: Tensor, metric: Tensor | None) -> Tensor:
    """The root of the trace of W M W^T."""
    if metric is not None and metric.dim() == 2:
        return (weight @ metric * weight).sum().clamp(min=0).sqrt()
    return torch.linalg.matrix_norm(weigh(weight, metric))


def spectrum(weight: Tensor, metric: Tensor | None) -> Tensor:
    """Singular values of a weight in the norm of a metric, largest first: (min(out, in),), float64."""
    weight = in_float64(weight)
    metric = None if metric is None else metric.to(weight)
    out, inp = weight.shape
    gram = output_gram(weight, metric) if out <= inp else (turned := weigh(weight, metric).T) @ turned.T
    return torch.linalg.eigvalsh(gram).clamp(min=0).sqrt().flip(0)


def truncate(left: Tensor, right: Tensor, rank: int, scale: Tensor | None) -> tuple[Tensor, Tensor]:
    """The best lower rank of a product in the norm ||(left right - result) diag(d)||_F, without the product itself.

    A thin QR of either factor leaves a small core, and the eigenvectors of its Gram matrix are the subspace to keep.

    Args:
        left: (out, m).
        right: (m, in).
        rank: At most m.
        scale: d, (in,); None for the plain norm.

    Returns:
        Factors (out, rank), its columns orthonormal, and (rank, in), both float32.
    """
    device, left, right = left.device, in_float64(left), in_float64(right)
    basis, inner = torch.linalg.qr(left)
    weighted = weigh(right, None if scale is None else scale.to(right))
    core = inner @ torch.linalg.qr(weighted.T).R.T
    _, kept = top_eigenvectors(core @ core.T, rank)
    return (basis @ kept).float().to(device), (kept.T @ inner @ right).float().to(device)
