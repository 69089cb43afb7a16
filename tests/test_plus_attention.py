"""What lorap-plus does to an attention, in closed form: metrics of q and k, joint factors, narrow heads."""

import math

import pytest
import torch
from torch import Tensor

from lorap.core.attention_metric import Attended, key_metric, query_metric
from lorap.core.joint import joint_error, joint_factors, joint_spectrum, shrunk
from lorap.core.narrow import decoders, head_spaces, pooled_dims

TOKENS = 200


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


HEADS, GROUPS, DIM, HIDDEN = 4, 2, 6, 10


def attended(seed: int = 0) -> Attended:
    tokens = 5
    scores = draw(HEADS, tokens, tokens, seed=seed).masked_fill(~torch.ones(tokens, tokens).bool().tril(), -math.inf)
    sizes = (tokens, DIM)
    queries, keys = draw(HEADS, *sizes, seed=seed + 1), draw(GROUPS, *sizes, seed=seed + 2)
    return Attended(queries, keys, draw(GROUPS, *sizes, seed=seed + 3), scores.softmax(-1), DIM**-0.5)


def outputs_of(queries: Tensor, keys: Tensor, values: Tensor, output: Tensor, head: int) -> Tensor:
    """What one head adds to the attention's output: (tokens, hidden)."""
    group, tokens = head * GROUPS // HEADS, len(values[0])
    scores = queries[head] @ keys[group].T * DIM**-0.5
    allowed = torch.ones(tokens, tokens).bool().tril()
    return scores.masked_fill(~allowed, -math.inf).softmax(-1) @ values[group] @ output.T


def test_metrics_are_the_mean_squared_change_of_the_attentions_output() -> None:
    drawn, output = attended(), draw(HIDDEN, DIM, seed=9)
    queries, keys, values = drawn.queries, drawn.keys, drawn.values
    for head in range(HEADS):
        group = head * GROUPS // HEADS
        scores = queries[head] @ keys[group].T * DIM**-0.5
        softmax = scores.masked_fill(~torch.ones(5, 5).bool().tril(), -math.inf).softmax(-1)
        weights = drawn.weights.clone()
        weights[head] = softmax
        seen = Attended(queries, keys, values, weights, DIM**-0.5)

        def by_query(q: Tensor, head: int = head) -> Tensor:
            return outputs_of(q, keys, values, output, head)

        def by_key(k: Tensor, head: int = head) -> Tensor:
            return outputs_of(queries, k, values, output, head)

        of_query = torch.autograd.functional.jacobian(by_query, queries)[:, :, head]  # type: ignore[no-untyped-call]
        of_key = torch.autograd.functional.jacobian(by_key, keys)[:, :, group]  # type: ignore[no-untyped-call]
        root = query_metric(seen, head, output)
        for token in range(5):
            own = of_query[token, :, token]
            torch.testing.assert_close(root[token].T @ root[token], own.T @ own)
            felt = of_key[:, :, token]
            expected = torch.einsum("ihp,ihq->pq", felt, felt)
            torch.testing.assert_close(key_metric(seen, head, output)[token], expected)


def blocks(count: int, seed: int) -> Tensor:
    roots = draw(count, DIM, DIM, seed=seed)
    return roots @ roots.transpose(1, 2)


def test_joint_factors_of_full_rank_are_the_dense_weights_and_smaller_ones_are_optimal() -> None:
    queries, keys = draw(HEADS * DIM, HIDDEN, seed=1), draw(GROUPS * DIM, HIDDEN, seed=2)
    metrics, root = [blocks(HEADS, 3), blocks(GROUPS, 4)], draw(HIDDEN, 2 * HIDDEN, seed=5)
    moment = shrunk(root @ root.T, 0.1)
    lefts, right = joint_factors([queries, keys], metrics, moment, HIDDEN)
    torch.testing.assert_close(torch.cat(lefts) @ right, torch.cat([queries, keys]).float(), rtol=0, atol=1e-4)
    values = joint_spectrum([queries, keys], metrics, moment)
    for rank in (1, 4, 7):
        lefts, right = joint_factors([queries, keys], metrics, moment, rank)
        changes = [left @ right - weight for left, weight in zip(lefts, (queries, keys), strict=True)]
        error = joint_error(changes, metrics, moment)
        assert math.isclose(float(error), float(values[rank:].sum()), rel_tol=1e-4)
        noisy = [change + 1e-2 * draw(*change.shape, seed=8) @ right.T.double() @ right.double() / right.norm() ** 2
                 for change in changes]  # fmt: skip
        assert joint_error(noisy, metrics, moment) >= error


def head_outputs(seed: int, ratio: int) -> tuple[Tensor, Tensor, Tensor]:
    """Values of GROUPS heads, what each of their query heads has for output, and the moments of these."""
    values = draw(GROUPS, TOKENS, DIM, seed=seed) @ draw(GROUPS, DIM, DIM, seed=seed + 1)
    mixed = values[:, None] + (0.5 * draw(GROUPS, ratio, TOKENS, DIM, seed=seed + 2) if ratio > 1 else 0)
    return draw(GROUPS, ratio, HIDDEN, DIM, seed=seed + 3), mixed, mixed.transpose(2, 3) @ mixed / TOKENS


@pytest.mark.parametrize("ratio", [1, 3])
@pytest.mark.parametrize("dim", [2, 5, 6])
def test_a_narrow_heads_error_is_the_tail_of_its_eigenvalues_or_less(ratio: int, dim: int) -> None:
    outputs, mixed, moments = head_outputs(0, ratio)
    spaces = head_spaces(outputs, moments)
    for group in range(GROUPS):
        encoder = spaces.encoders[group, :dim]
        decoded = decoders(encoder, moments[group])
        lost = mixed[group] - mixed[group] @ encoder.T @ decoded.transpose(1, 2)
        error = (lost @ outputs[group].transpose(1, 2)).square().sum((0, 2)).mean()
        tail = spaces.values[group, dim:].sum()
        if ratio == 1:
            assert math.isclose(float(error), float(tail), rel_tol=1e-8, abs_tol=1e-9)
        assert error <= tail + 1e-9
        best = sum(_least_error(outputs[group, head], moments[group, head], encoder) for head in range(ratio))
        assert math.isclose(float(error), float(best), rel_tol=1e-6, abs_tol=1e-9)
        if dim == DIM:
            assert error < 1e-12


def _least_error(output: Tensor, moment: Tensor, encoder: Tensor) -> Tensor:
    """The error of regressing a head's contribution on the encoded head, from the normal equations."""
    cross = output @ moment @ encoder.T
    solved = torch.linalg.solve(encoder @ moment @ encoder.T, cross.T).T
    return (output @ moment * output).sum() - (solved * cross).sum()


def test_pooled_dimensions_are_those_of_the_largest_values_and_each_head_keeps_some() -> None:
    values = torch.tensor([[9.0, 8, 7, 1], [6.0, 5, 0.5, 0.1]])
    assert pooled_dims(values, 5, 1) == [3, 2]
    assert pooled_dims(values, 2, 1) == [1, 1]
    assert pooled_dims(torch.tensor([[9.0, 8, 7, 6], [0.4, 0.3, 0.2, 0.1]]), 5, 1) == [4, 1]
    assert pooled_dims(values, 8, 1) == [4, 4]
