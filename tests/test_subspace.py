"""The filtered subspace against a whole eigendecomposition: as good, or refused."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lorap.core.subspace import chebyshev, estimated_edges, filtered_subspace, orthonormal

SIZE = 160


def gram_of(values: Tensor, seed: int = 0) -> Tensor:
    """A symmetric matrix with these eigenvalues."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(len(values), len(values), generator=generator, dtype=torch.float64)).Q
    return (basis * values) @ basis.T


def falling(decay: float, outliers: int = 0) -> Tensor:
    """Eigenvalues that fall like those of a weight's Gram matrix, a few of them far above the others."""
    values = (1 + torch.arange(SIZE, dtype=torch.float64) / 8) ** -decay
    values[:outliers] *= 300
    return values


@settings(max_examples=25)
@given(st.floats(0.7, 3), st.integers(1, 80), st.integers(0, 4), st.integers(0, 99))
def test_what_is_found_is_the_optimum(decay: float, rank: int, outliers: int, seed: int) -> None:
    gram = gram_of(falling(decay, outliers), seed)
    found = filtered_subspace(gram, rank)
    if found is None:
        return  # it may refuse, and an eigensolver does the work; the next test says where it must not
    values, vectors = found
    optimum = torch.linalg.eigvalsh(gram).flip(0)
    lost = gram.trace() - torch.trace(vectors.T @ gram @ vectors) - optimum[rank:].sum()
    torch.testing.assert_close(values, optimum[:rank], rtol=1e-9, atol=1e-12 * float(optimum[0]))
    torch.testing.assert_close(vectors.T @ vectors, torch.eye(rank, dtype=torch.float64), rtol=0, atol=1e-10)
    assert float(lost) <= 1e-10 * float(optimum[rank:].sum()) + 1e-13 * float(gram.trace())


@pytest.mark.parametrize("rank", [8, 20, 60])
def test_spectra_of_weights_are_not_refused(rank: int) -> None:
    gram = gram_of(falling(1.0, outliers=2))
    found = filtered_subspace(gram, rank)
    assert found is not None
    _, whole = torch.linalg.eigh(gram)
    inside = whole[:, -rank:].T @ found[1]
    assert float(1 - torch.linalg.svdvals(inside).min()) < 1e-12  # the squared sine of the largest angle, halved


def test_same_result_each_time() -> None:
    gram = gram_of(falling(1.0))
    first, second = filtered_subspace(gram, 30), filtered_subspace(gram, 30)
    assert first is not None
    assert second is not None
    assert torch.equal(first[1], second[1])


@pytest.mark.parametrize(
    "values",
    [
        torch.zeros(SIZE, dtype=torch.float64),
        torch.ones(SIZE, dtype=torch.float64),
        (torch.arange(SIZE) < 10).double(),
    ],
    ids=["nothing", "all alike", "fewer than wanted"],
)
def test_a_spectrum_without_a_subspace_of_that_size_is_refused(values: Tensor) -> None:
    assert filtered_subspace(gram_of(values), 20) is None


def test_a_block_of_nearly_all_vectors_is_refused() -> None:
    assert filtered_subspace(gram_of(falling(1.0)), SIZE * 6 // 10) is None


def test_filter_is_the_polynomial_of_chebyshev() -> None:
    points = torch.linspace(0, 3, 7, dtype=torch.float64)
    edge, degree = 2.0, 5
    filtered = chebyshev(points.diag(), torch.ones(7, 1, dtype=torch.float64), degree, edge)[:, 0]
    mapped = 2 * points / edge - 1
    inside = torch.cos(degree * torch.acos(mapped.clamp(-1, 1)))
    outside = torch.cosh(degree * torch.acosh(mapped.clamp(min=1)))
    torch.testing.assert_close(filtered, torch.where(mapped <= 1, inside, outside))


def test_nearly_dependent_vectors_become_orthonormal() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(200, 12, generator=generator, dtype=torch.float64)
    vectors = vectors @ torch.diag(10.0 ** -torch.arange(12, dtype=torch.float64)) + vectors[:, :1]
    basis = orthonormal(vectors)
    torch.testing.assert_close(basis.T @ basis, torch.eye(12, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(basis @ (basis.T @ vectors), vectors, rtol=0, atol=1e-8)


def test_quantiles_of_a_spectrum_are_estimated() -> None:
    values = falling(1.0)
    largest, last, edge = estimated_edges(gram_of(values), 40, 60)
    assert float(values[0]) <= largest <= 1.05 * float(values[0])
    assert float(values[50]) < last < float(values[30])
    assert float(values[66]) < edge < last
