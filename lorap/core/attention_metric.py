"""How much a change of a query or key changes the attention's output: Gauss-Newton metrics (plus.md, 2)."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Attended:
    """One window's attention.

    Attributes:
        queries: As the attention compares them, positions included: (heads, tokens, d).
        keys: (groups, tokens, d).
        values: (groups, tokens, d).
        weights: The softmax: (heads, tokens, tokens), rows sum to 1.
        scale: That scores are multiplied by.
    """

    queries: Tensor
    keys: Tensor
    values: Tensor
    weights: Tensor
    scale: float


def query_metric(seen: Attended, head: int, output: Tensor) -> Tensor:
    """The root B_i of the metric of a query: |B_i dq|^2 is the change of the output to first order.

    Args:
        seen: The attention.
        head: A query head.
        output: Its columns of o's weight, or another matrix with the same G = W^T W: (n, d).

    Returns:
        (tokens, n, d).
    """
    group = head * len(seen.keys) // len(seen.queries)
    weights, keys, values = seen.weights[head], seen.keys[group], seen.values[group]
    tokens, width = keys.shape
    carried = values @ output.T
    mixed = (weights @ (carried[:, :, None] * keys[:, None, :]).view(tokens, -1)).view(tokens, -1, width)
    mean = weights @ carried
    return seen.scale * (mixed - mean[:, :, None] * (weights @ keys)[:, None, :])


def key_metric(seen: Attended, head: int, output: Tensor) -> Tensor:
    """The metric of a key, as one query head sees it: the sum over queries of what a change does to each output.

    Arguments are those of ``query_metric``; returns (tokens, d, d).
    """
    group = head * len(seen.keys) // len(seen.queries)
    weights, queries = seen.weights[head], seen.queries[head]
    tokens, width = queries.shape
    carried = seen.values[group] @ output.T
    mean = weights @ carried
    distance = carried.square().sum(1)[None] - 2 * mean @ carried.T + mean.square().sum(1)[:, None]
    counts = weights.square() * distance.clamp(min=0)
    squares = (queries[:, :, None] * queries[:, None, :]).view(tokens, -1)
    return seen.scale**2 * (counts.T @ squares).view(tokens, width, width)


def pulled_back(metric: Tensor, jacobian: Tensor) -> Tensor:
    """The sum over tokens of J^T M J: (tokens, d, d) and (tokens, d, p) to (p, p)."""
    return jacobian.flatten(0, 1).T @ (metric @ jacobian).flatten(0, 1)
