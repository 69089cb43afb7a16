"""Low-rank factors against closed forms and a float64 SVD."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lorap.core.factorise import factorise, relative_error, spectrum

SHAPES = {"wide": (48, 80), "tall": (80, 48), "square": (64, 64)}
TOLERANCE = 1e-6  # above the optimum, relative: what the exact solver promises


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def scales(features: int, largest: float = 3) -> Tensor:
    d = torch.linspace(0.5, 2, features)
    d[features // 3] *= largest
    return d


def second_moment(features: int) -> Tensor:
    x = normal(500, features, seed=1) * scales(features)
    return x.T @ x / len(x)


METRICS: dict[str, Callable[[int], Tensor | None]] = {
    "plain": lambda features: None,
    "scale": scales,
    "full": second_moment,
}


def root(metric: Tensor | None, features: int) -> Tensor:
    """C with C C^T = M, in float64."""
    if metric is None:
        return torch.eye(features).double()
    return torch.diag(metric.double()) if metric.dim() == 1 else torch.linalg.cholesky(metric.double())


def excess(weight: Tensor, rank: int, metric: Tensor | None) -> float:
    """How far the error of the factors is above that of the full SVD, relative, in float64."""
    left, right = factorise(weight, rank, metric)
    c = root(metric, weight.shape[1])
    optimum = torch.linalg.svdvals(weight.double() @ c)[rank:].norm()
    return float(((weight.double() - left.double() @ right.double()) @ c).norm() / optimum - 1)


@pytest.mark.parametrize("rank", [1, 12, 30])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_weighted_error_is_that_of_the_full_svd(shape: str, metric: str, rank: int) -> None:
    weight = normal(*SHAPES[shape])
    assert abs(excess(weight, rank, METRICS[metric](weight.shape[1]))) < TOLERANCE


@pytest.mark.parametrize("largest", [1e2, 1e3, 1e4])
@pytest.mark.parametrize("shape", SHAPES)
def test_one_feature_much_larger_than_the_rest_does_not_spoil_the_others(shape: str, largest: float) -> None:
    weight = normal(*SHAPES[shape])
    d = scales(weight.shape[1], largest)
    assert abs(excess(weight, 24, d)) < TOLERANCE
    assert abs(excess(weight, 24, torch.diag(d.square()))) < TOLERANCE


@pytest.mark.parametrize("tail", [0.5, 0.15, 0.05, 0.02])
@pytest.mark.parametrize("shape", SHAPES)
def test_with_the_spectrum_of_a_trained_weight_the_factors_are_those_of_float64(shape: str, tail: float) -> None:
    """Near the optimum is not enough: W' itself decides which channels the later layers lose."""
    u, noise, vt = torch.linalg.svd(normal(*SHAPES[shape]), full_matrices=False)
    singular = torch.cat([torch.logspace(0, math.log10(tail), 8), tail * torch.linspace(0.99, 0.3, len(noise) - 8)])
    weight = (u * singular) @ vt  # a fast beginning, then many of nearly the same size
    u, singular, vt = torch.linalg.svd(weight.double(), full_matrices=False)
    best = (u[:, :16] * singular[:16]) @ vt[:16]
    left, right = factorise(weight, 16)
    assert (left.double() @ right.double() - best).norm() < 4e-6 * best.norm()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shape", SHAPES)
def test_full_rank_gives_the_weight_back(shape: str, metric: str) -> None:
    weight = normal(*SHAPES[shape])
    left, right = factorise(weight, min(weight.shape), METRICS[metric](weight.shape[1]))
    torch.testing.assert_close(left @ right, weight, rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_weight_of_low_rank_is_given_back_at_that_rank(shape: str) -> None:
    out, inp = SHAPES[shape]
    weight = normal(out, 7) @ normal(7, inp, seed=1)
    left, right = factorise(weight, 7)
    torch.testing.assert_close(left @ right, weight, rtol=0, atol=1e-4)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shape", SHAPES)
def test_left_has_orthonormal_columns(shape: str, metric: str) -> None:
    weight = normal(*SHAPES[shape])
    left, _ = factorise(weight, 20, METRICS[metric](weight.shape[1]))
    torch.testing.assert_close(left.T @ left, torch.eye(20), rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_constant_factor_of_the_scale_changes_nothing(shape: str) -> None:
    weight = normal(*SHAPES[shape])
    d = scales(weight.shape[1])
    once, hundredfold = (torch.matmul(*factorise(weight, 16, factor * d)) for factor in (1, 100))
    torch.testing.assert_close(once, hundredfold, rtol=0, atol=1e-5)


def test_a_diagonal_weight_keeps_its_largest_entries_as_the_metric_sees_them() -> None:
    left, right = factorise(torch.diag(torch.tensor([4.0, 3, 2, 1])), 2, torch.tensor([1.0, 1, 10, 10]))
    torch.testing.assert_close(left @ right, torch.diag(torch.tensor([0.0, 0, 2, 1])))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_covariance_metric_finds_the_principal_subspace_of_the_output(shape: str) -> None:
    weight, x = normal(*SHAPES[shape]), normal(500, SHAPES[shape][1], seed=1) + 5  # the mean must not count
    left, right = factorise(weight, 10, torch.cov(x.T, correction=0))
    principal = torch.linalg.eigh(torch.cov((x @ weight.T).double().T)).eigenvectors[:, -10:].float()
    torch.testing.assert_close(left @ left.T, principal @ principal.T, rtol=0, atol=1e-4)
    torch.testing.assert_close(right, left.T @ weight, rtol=0, atol=1e-4)


def test_a_bfloat16_weight_is_factored_in_float32() -> None:
    weight = normal(64, 64).bfloat16()
    assert abs(excess(weight, 16, scales(64))) < TOLERANCE


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_relative_error_and_spectrum_are_those_of_the_svd(shape: str, scaled: bool) -> None:
    weight = normal(*SHAPES[shape])
    d = scales(weight.shape[1], 1e4) if scaled else None
    singular = torch.linalg.svdvals(weight.double() @ root(d, weight.shape[1]))
    torch.testing.assert_close(spectrum(weight, d), singular, rtol=1e-3, atol=0)
    approximation = torch.matmul(*factorise(weight, 16, d))
    expected = singular[16:].norm() / singular.norm()
    assert relative_error(weight, approximation, d) == pytest.approx(float(expected), rel=1e-4)


def test_a_metric_that_sees_nothing_of_a_weight_has_the_plain_error_reported() -> None:
    weight, other = normal(6, 5), normal(6, 5) + 1
    blind = torch.zeros(5, 5)
    assert relative_error(weight, other, blind) == relative_error(weight, other, None) > 0
    assert relative_error(torch.zeros(2, 2), torch.zeros(2, 2), None) == 0
