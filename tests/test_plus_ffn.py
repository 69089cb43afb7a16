"""What lorap-plus does to an FFN and to its budget, in closed form: refits, channels by their cost, water filling."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lorap.core.ridge import refit, refit_where_seen
from lorap.core.surgeon import remove
from lorap.core.water import fill, lower_hull

OUT, WIDTH, TOKENS = 5, 12, 200


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def objective(new: Tensor, old: Tensor, target: Tensor, inputs: Tensor, ridge: float) -> float:
    errors = (target - inputs @ new.T.to(inputs)).square().sum(1).mean()
    pull = (inputs.square().mean(0) * (new - old).to(inputs).square()).sum()
    return float(errors + ridge * pull)


@pytest.mark.parametrize("ridge", [0.0, 1e-3, 0.3, 10.0])
def test_a_refits_gradient_is_zero(ridge: float) -> None:
    inputs, target, old = draw(TOKENS, WIDTH), draw(TOKENS, OUT, seed=1), draw(OUT, WIDTH, seed=2)
    gram, cross = inputs.T @ inputs / TOKENS, target.T @ inputs / TOKENS
    new = refit(old, cross, gram, ridge).double().requires_grad_()
    errors = (target - inputs @ new.T).square().sum(1).mean() + ridge * (gram.diagonal() * (new - old).square()).sum()
    (gradient,) = torch.autograd.grad(errors, new)
    assert gradient.abs().max() < 1e-5
    assert objective(new.detach(), old, target, inputs, ridge) <= objective(old, old, target, inputs, ridge) + 1e-9


def test_a_refit_that_finds_nothing_to_mend_changes_nothing() -> None:
    inputs, old = draw(TOKENS, WIDTH), draw(OUT, WIDTH, seed=2)
    gram = inputs.T @ inputs / TOKENS
    torch.testing.assert_close(refit(old, old @ gram, gram, 1.0).double(), old, rtol=0, atol=1e-6)


def test_behind_inputs_that_span_too_little_the_least_change_is_the_best_there_is() -> None:
    generator = torch.Generator().manual_seed(3)
    inputs, old = (torch.randn(shape, generator=generator) for shape in ((5, 12), (7, 12)))
    target = torch.randn(5, 7, generator=generator)
    new = refit_where_seen(old, target.T @ inputs, inputs.T @ inputs, 1e-6)
    torch.testing.assert_close(inputs @ new.T, target, rtol=0, atol=1e-4)
    least = torch.linalg.lstsq(inputs.double(), (target - inputs @ old.T).double(), driver="gelsd").solution.T
    torch.testing.assert_close((new - old).double(), least, rtol=0, atol=1e-4)


def test_a_feature_that_is_always_zero_keeps_its_weight() -> None:
    inputs, old = draw(TOKENS, WIDTH), draw(OUT, WIDTH, seed=2)
    inputs[:, 3] = 0
    gram, cross = inputs.T @ inputs / TOKENS, draw(TOKENS, OUT, seed=1).T @ inputs / TOKENS
    torch.testing.assert_close(refit(old, cross, gram, 0.5)[:, 3].double(), old[:, 3], rtol=0, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), ridge=st.sampled_from([0.05, 0.3, 1.0]))
def test_the_surgeons_costs_are_what_a_refit_from_scratch_loses(seed: int, ridge: float) -> None:
    inputs, target, old = draw(TOKENS, WIDTH, seed=seed), draw(TOKENS, OUT, seed=seed + 1), draw(OUT, WIDTH)
    inputs = inputs @ draw(WIDTH, WIDTH, seed=seed + 2)
    gram, cross = inputs.T @ inputs / TOKENS, target.T @ inputs / TOKENS

    def best(kept: Tensor) -> tuple[Tensor, float]:
        """The optimum with some channels alone; those that are gone pay the ridge for all that they were."""
        new = torch.zeros_like(old)
        scaled = gram[kept][:, kept] + ridge * torch.diag(gram.diagonal()[kept])
        new[:, kept] = torch.linalg.solve(scaled, (cross[:, kept] + ridge * old[:, kept] * gram.diagonal()[kept]).T).T
        return new, objective(new, old, target, inputs, ridge)

    everything = torch.arange(WIDTH)
    _, before = best(everything)
    total = 0.0
    for step in remove(old, cross, gram, ridge, 4):
        new, after = best(step.kept)
        total += float(step.cost)
        assert math.isclose(total, after - before, rel_tol=2e-3, abs_tol=1e-5)
        torch.testing.assert_close(step.weight.double(), new[:, step.kept], rtol=0, atol=2e-3 * float(new.abs().max()))
        assert step.kept.tolist() == sorted(set(step.kept.tolist()))


def test_the_surgeon_takes_the_channel_that_costs_least_first() -> None:
    inputs, old = draw(TOKENS, WIDTH), draw(OUT, WIDTH, seed=2)
    inputs[:, 7] = inputs[:, 2] + 1e-3 * inputs[:, 7]  # one of these two makes up for the other
    gram = inputs.T @ inputs / TOKENS
    first = next(remove(old, old @ gram, gram, 1e-3, 1))
    assert set(range(WIDTH)) - set(first.kept.tolist()) <= {2, 7}


curves = st.dictionaries(
    st.integers(0, 4),
    st.lists(st.integers(1, 50), min_size=2, max_size=6).map(
        lambda costs: [(10 * (len(costs) - place), float(sum(costs[:place]))) for place in range(len(costs) + 1)]
    ),
    min_size=1,
    max_size=4,
)


@given(curves, st.floats(0, 1))
def test_water_filling_meets_the_budget_and_no_exchange_of_two_pieces_improves_it(
    drawn: dict[int, list[tuple[float, float]]], part: float
) -> None:
    dense = sum(points[0][0] for points in drawn.values())
    sizes = fill(drawn, part * dense)
    assert math.isclose(sum(sizes.values()), part * dense, abs_tol=1e-9)
    hulls = {key: lower_hull(points) for key, points in drawn.items()}

    def error(key: int, size: float) -> float:
        for (large, low), (small, high) in itertools.pairwise(hulls[key]):
            if small <= size <= large:
                return low + (high - low) * (large - size) / (large - small)
        raise AssertionError(size)

    total = sum(error(key, size) for key, size in sizes.items())
    for one, other in itertools.permutations(sizes, 2):
        moved = min(1.0, sizes[one] - hulls[one][-1][0], hulls[other][0][0] - sizes[other])
        if moved > 0:
            exchanged = sizes | {one: sizes[one] - moved, other: sizes[other] + moved}
            assert sum(error(key, size) for key, size in exchanged.items()) >= total - 1e-9


@given(curves)
def test_a_hull_is_convex_and_lies_on_or_below_its_curve(drawn: dict[int, list[tuple[float, float]]]) -> None:
    for points in drawn.values():
        hull = lower_hull(points)
        assert hull[0] == points[0]
        assert hull[-1] == points[-1]
        slopes = [(low[1] - high[1]) / (high[0] - low[0]) for high, low in itertools.pairwise(hull)]
        assert all(first < second for first, second in itertools.pairwise(slopes))
