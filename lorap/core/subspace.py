"""The leading eigenvectors of a large symmetric matrix by products of blocks, where an eigensolver is slow.

Chebyshev-filtered subspace iteration: a polynomial that stays within 1 on the unwanted end of the spectrum and grows
fast beyond it turns random vectors into the wanted subspace. Some guard vectors more than are wanted make up for a
spectrum without a gap. A GPU multiplies a hundred times faster than it finds eigenvectors; a CPU only five times.
"""

import math

import torch
from torch import Tensor

from lorap.core.blocks import filtered_block

PROBES, STEPS = 16, 30  # random vectors, and Lanczos steps on each, to estimate how eigenvalues are spread
EDGE = 0.9  # of the guards are within the part of the spectrum that is kept
ACCURACY = 1e-8  # of the subspace, the sine of an angle; its square is the relative excess of the error
UNCERTAIN = 50  # how far random vectors are from the subspace, the tangent of an angle
STEEPEST = 1e9  # how much a round may favour the first of the wanted eigenvectors over the last one
MOST = 40  # products with the block; beyond it an eigensolver has less to do
ACCEPTED = 1e-7  # an estimate of the angle; beyond it the result is not trusted
SHIFT = 1e-14  # of the trace, for a Cholesky factor of vectors that are nearly dependent


def filtered_subspace(gram: Tensor, rank: int) -> tuple[Tensor, Tensor] | None:
    """The ``rank`` largest eigenvalues, largest first, and their eigenvectors (n, rank); None where it does not work.

    The last step is a Rayleigh-Ritz projection, whose residuals bound the error: the result is trusted only if the
    angle to the true subspace is below ``ACCEPTED``.

    Args:
        gram: (n, n), positive semidefinite, float64.
        rank: At least 1.
    """
    block = filtered_block(len(gram), rank)
    try:
        return None if block is None else _filtered(gram, rank, block)
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]  # of nothing, or vectors that depend on each other
        return None


def _filtered(gram: Tensor, rank: int, block: int) -> tuple[Tensor, Tensor] | None:
    largest, last, edge = estimated_edges(gram, rank, block)
    if not 0 < edge < last:  # a cliff in the spectrum, or nothing behind it
        return None
    growth = math.acosh(2 * last / edge - 1)  # by degree, of the last wanted eigenvector
    degrees = math.ceil(math.log(UNCERTAIN / ACCURACY) / growth)
    if degrees > MOST:
        return None
    favour = math.acosh(2 * largest / edge - 1) - growth
    rounds = max(1, math.ceil(degrees * favour / math.log(STEEPEST)))
    vectors = random_block(gram, block)
    for _ in range(rounds):
        vectors = orthonormal(chebyshev(gram, vectors, math.ceil(degrees / rounds), edge))
    return _trusted(*rayleigh_ritz(gram, vectors), rank)


def estimated_edges(gram: Tensor, rank: int, block: int) -> tuple[float, float, float]:
    """The largest eigenvalue, the ``rank``-th and, short of the ``block``-th, the edge of what is filtered out.

    Estimates: the first is a little above it, the others are quantiles of a density from Lanczos steps on random
    vectors (stochastic Lanczos quadrature).
    """
    size = len(gram)
    vector = random_block(gram, PROBES)
    vector = vector / vector.norm(dim=0)
    basis = vector[:, :, None]
    diagonal, beside = [], []
    for _ in range(STEPS):
        following = gram @ vector
        diagonal.append((following * vector).sum(0))
        for _ in range(2):
            following = following - torch.einsum("npj,pj->np", basis, torch.einsum("npj,np->pj", basis, following))
        beside.append(following.norm(dim=0))
        vector = following / beside[-1]
        basis = torch.cat([basis, vector[:, :, None]], 2)
    off = torch.stack(beside[:-1], 1)
    tridiagonal = torch.stack(diagonal, 1).diag_embed() + off.diag_embed(1) + off.diag_embed(-1)
    values, vectors = torch.linalg.eigh(tridiagonal.cpu())
    order = values.flatten().argsort(descending=True)
    values = values.flatten()[order]
    counts = (vectors[:, 0].square() * size / PROBES).flatten()[order].cumsum(0)
    wanted = torch.tensor([rank, rank + EDGE * (block - rank)], dtype=counts.dtype)
    at = torch.searchsorted(counts, wanted).clamp(max=len(values) - 1)
    last, edge = values[at].tolist()
    return 1.01 * float(values[0]), last, edge


def random_block(gram: Tensor, width: int) -> Tensor:
    """Normal numbers (n, width), the same on every device."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(len(gram), width, generator=generator).to(gram)


def chebyshev(gram: Tensor, vectors: Tensor, degree: int, edge: float) -> Tensor:
    """The Chebyshev polynomial of a degree, whose interval is 0 to ``edge``, of a matrix times vectors."""
    before, now = vectors, torch.addmm(vectors, gram, vectors, beta=-1, alpha=2 / edge)
    for _ in range(degree - 1):
        before, now = now, torch.addmm(before, gram, now, beta=-1, alpha=4 / edge).sub_(now, alpha=2)
    return now


def orthonormal(vectors: Tensor) -> Tensor:
    """An orthonormal basis of what (n, k) vectors span, nearly dependent ones too, by Cholesky factors.

    The first factor is of a shifted matrix and leaves a basis that is merely well-conditioned; the next two repair it
    (shifted CholeskyQR3).
    """
    vectors = vectors / vectors.norm()
    for shift in (SHIFT, 0.0, 0.0):
        products = vectors.T @ vectors
        products.diagonal().add_(shift * products.trace())
        factor = torch.linalg.cholesky(products, upper=True)
        vectors = torch.linalg.solve_triangular(factor, vectors, upper=True, left=False)
    return vectors


def rayleigh_ritz(gram: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Eigenvalues within an orthonormal basis, largest first, eigenvectors, and their residuals' norms."""
    products = gram @ vectors
    values, turned = torch.linalg.eigh(vectors.T @ products)
    values, turned = values.flip(0), turned.flip(1)
    found = vectors @ turned
    return values, found, torch.linalg.vector_norm(products @ turned - found * values, dim=0)


def _trusted(values: Tensor, vectors: Tensor, residuals: Tensor, rank: int) -> tuple[Tensor, Tensor] | None:
    """The first ``rank`` of them, if what they may lack, by the gap to the last guard, is little."""
    angles = residuals[:rank] / (values[:rank] - values[-1])
    good = torch.isfinite(angles).all() & (angles >= 0).all() & (angles.norm() < ACCEPTED)
    return (values[:rank], vectors[:, :rank]) if bool(good) else None
