"""The sums of activations that metrics and scores come from, against their definitions."""

import pytest
import torch

from lorap.core.statistics import ZERO_SCALE, Kind, Moments
from tests.test_factorise import normal, scales

KINDS: list[set[Kind]] = [{"squares"}, {"squares", "mean"}, {"squares", "moment"}]


@pytest.mark.parametrize("kinds", KINDS)
def test_moments_do_not_depend_on_how_the_tokens_are_dealt_to_batches(kinds: set[Kind]) -> None:
    x = normal(90, 8) + 1
    whole, pieces = Moments(8, kinds), Moments(8, kinds)
    whole.update(x)
    for piece in (x[:1], x[1:40].reshape(3, 13, 8), x[40:]):
        pieces.update(piece)
    assert whole.tokens == pieces.tokens == 90
    torch.testing.assert_close(whole.scale(), pieces.scale())
    torch.testing.assert_close(whole.scale(), x.norm(dim=0))
    if "moment" in kinds:
        torch.testing.assert_close(whole.mean(), x.mean(0))
        torch.testing.assert_close(whole.second_moment(), x.T @ x / 90)
        torch.testing.assert_close(whole.covariance(), pieces.covariance())


@pytest.mark.parametrize("mean", [3, 1000])
def test_the_covariance_is_that_of_all_tokens_with_the_mean_removed(mean: float) -> None:
    x = normal(400, 8) * scales(8) + mean
    moments = Moments(8, {"moment"})
    moments.update(x)
    expected = torch.cov(x.double().T, correction=0).float()
    torch.testing.assert_close(moments.covariance(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kinds", KINDS)
def test_a_feature_that_is_always_zero_gets_the_published_scale(kinds: set[Kind]) -> None:
    moments = Moments(3, kinds)
    moments.update(torch.tensor([[3.0, 0, 1], [4, 0, 1]]))
    assert ZERO_SCALE == 1e-4
    torch.testing.assert_close(moments.scale(), torch.tensor([5.0, 1e-4, 2**0.5]))


@pytest.mark.parametrize("kinds", KINDS)
def test_bfloat16_inputs_are_summed_in_float32(kinds: set[Kind]) -> None:
    moments = Moments(1, kinds)
    for _ in range(20):  # in bfloat16 the sum would stop at 256 tokens
        moments.update(torch.ones(100, 1, dtype=torch.bfloat16))
    assert moments.scale().item() == pytest.approx(2000**0.5, rel=1e-6)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
@pytest.mark.parametrize("kinds", KINDS)
def test_one_value_that_is_not_finite_is_noticed(kinds: set[Kind], value: float) -> None:
    moments = Moments(2, kinds)
    moments.update(torch.tensor([[1.0, value], [1.0, 1.0]]))
    moments.update(torch.ones(4, 2))
    assert not moments.is_finite()
