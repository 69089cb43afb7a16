"""How many ranks and channels a sparsity leaves to each projection (method.md, 6 to 8).

Only integers and fractions, so that a plan needs neither weights nor torch.
"""

import math
from collections.abc import Callable, Mapping

Shape = tuple[int, int]  # (out, in) of a linear weight

ROUNDING = 1e-9  # of a unit: what a share may lack of it without losing it
QK = ("q_proj", "k_proj")
VO = ("v_proj", "o_proj")


def break_even_rank(shape: Shape) -> float:
    """The rank at which a pair of factors costs as much as the dense weight: out * in / (out + in)."""
    out, inp = shape
    return out * inp / (out + inp)


def rank_for(shape: Shape, fraction: float, whole: Callable[[float], int] = int) -> int | None:
    """The rank whose factors keep ``fraction`` of a weight's parameters, made ``whole``; None where it stays dense.

    Never less than 1: a projection of rank 0 would be silent, not small.
    """
    if fraction >= 1:
        return None
    return max(1, whole(fraction * break_even_rank(shape)))


def pivoted_numbers(shape: Shape, rank: int) -> int:
    """What a weight of a rank takes where ``rank`` of its rows stand for the right factor: rank * (out + in - rank)."""
    return rank * (sum(shape) - rank)


def pivoted_rank(shape: Shape, numbers: int) -> int:
    """The largest rank that takes no more numbers; they are enough for a full rank where they are enough for all."""
    both = sum(shape)
    apart = both**2 - 4 * numbers
    return (both - (math.isqrt(apart - 1) + 1 if apart > 0 else 0)) // 2


def pivot_counts(rank: int, outputs: Mapping[str, int]) -> dict[str, int]:
    """How many of each projection's outputs stand for the right factor that they share, by their sizes.

    A projection that none are taken of is left out.
    """
    counts, seen, total = {}, 0, sum(outputs.values())
    for name, out in outputs.items():
        counts[name] = rank * (seen + out) // total - rank * seen // total
        seen += out
    return {name: count for name, count in counts.items() if count}


def attention_ranks(shapes: Mapping[str, Shape], sparsity: float, allocation: float) -> dict[str, int | None]:
    """Ranks of q, k, v and o at one sparsity; None means that the weight stays dense.

    Args:
        shapes: (out, in) of ``q_proj``, ``k_proj``, ``v_proj`` and ``o_proj``.
        sparsity: Fraction of the attention's weights to remove, in [0, 1).
        allocation: Parameters left to v and o for each parameter left to q and k.

    Both weights of a pair keep the same fraction of their parameters. A pair whose share reaches dense stays dense
    and leaves the rest to the other pair, so the budget holds for grouped-query attention too. Four square weights
    get exactly the published integers, which round twice (method.md, 6).
    """
    if sparsity == 0:
        return dict.fromkeys(shapes, None)
    keep = 1 - sparsity
    if len(set(shapes.values())) == 1 and len(set(shapes["q_proj"])) == 1:
        qk, vo = _square_ranks(shapes["q_proj"][0], keep, allocation)
        return {"q_proj": qk, "k_proj": qk, "v_proj": vo, "o_proj": vo}
    qk_keep, vo_keep = pair_shares(shapes, sparsity, allocation)
    return {name: rank_for(shape, qk_keep if name in QK else vo_keep) for name, shape in shapes.items()}


def _square_ranks(h: int, keep: float, allocation: float) -> tuple[int | None, int | None]:
    """The published ranks of (q and k, v and o) when all four weights are h x h."""
    uniform = int(keep * h / 2)
    vo = int(2 * uniform * allocation / (1 + allocation))
    qk = int(2 * uniform / (1 + allocation))
    rest = max(1, int(keep * h) - h // 2)  # for the other pair, once one is dense
    if vo >= h / 2:
        return rest, None
    if qk >= h / 2:
        return None, rest
    return max(1, qk), max(1, vo)


def _pair_fractions(qk_size: int, vo_size: int, keep: float, allocation: float) -> tuple[float, float]:
    """The fraction of its parameters that each pair keeps, from the sizes of the dense pairs."""
    budget = keep * (qk_size + vo_size)
    vo_budget = budget * allocation / (1 + allocation)
    qk_budget = budget / (1 + allocation)
    if vo_budget >= vo_size:
        return (budget - vo_size) / qk_size, 1.0
    if qk_budget >= qk_size:
        return 1.0, (budget - qk_size) / vo_size
    return qk_budget / qk_size, vo_budget / vo_size


def pair_shares(shapes: Mapping[str, Shape], sparsity: float, allocation: float) -> tuple[float, float]:
    """The share of their weights that q and k, and that v and o keep, not rounded; see ``attention_ranks``."""
    qk_size, vo_size = (sum(out * inp for out, inp in (shapes[name] for name in pair)) for pair in (QK, VO))
    return _pair_fractions(qk_size, vo_size, 1 - sparsity, allocation)


def ffn_ranks(shapes: Mapping[str, Shape], sparsity: float) -> dict[str, int | None]:
    """Ranks of gate, up and down when the FFN is decomposed instead of pruned (method.md, 8)."""
    return {name: rank_for(shape, 1 - sparsity) for name, shape in shapes.items()}


def removed_positions(width: int, sparsity: float, keep_least: float) -> range:
    """Which channels go, as positions in the ascending order of their scores (method.md, 7).

    The ``keep_least`` fraction at the bottom is kept. Where the slice would pass the end, it moves down and the kept
    bottom shrinks, so the number of removed channels stays the published one. One channel always remains.
    """
    count = min(int((sparsity + keep_least) * width) - int(keep_least * width), width - 1)
    return removed_slice(width, count, keep_least)


def removed_slice(width: int, count: int, keep_least: float) -> range:
    """Which ``count`` of ``width`` channels go, behind the ``keep_least`` fraction at the bottom if there is room."""
    start = min(int(keep_least * width), width - count)
    return range(start, start + count)
