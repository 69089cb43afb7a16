"""The published integers, straight from method.md, 6 and 7: what lorap's budget is held against."""

from collections.abc import Mapping

QK, VO, FFN = ("q_proj", "k_proj"), ("v_proj", "o_proj"), ("gate_proj", "up_proj", "down_proj")
Shape = tuple[int, int]  # (out, in)


def attention_ranks(shapes: Mapping[str, Shape], keep: float, a: float) -> dict[str, int | None]:
    """Ranks of q, k, v and o, None for dense: as published where all are h x h, else from shares of the parameters."""
    sizes = {pair: sum(shapes[name][0] * shapes[name][1] for name in pair) for pair in (QK, VO)}
    h = shapes["q_proj"][0]
    if all(shapes[name] == (h, h) for name in QK + VO):
        k_min, k_max = square_ranks(h, keep, a)
        return {"q_proj": k_min, "k_proj": k_min, "v_proj": k_max, "o_proj": k_max}
    budget = keep * (sizes[QK] + sizes[VO])
    shares = {VO: budget * a / (1 + a), QK: budget / (1 + a)}
    for full, other in ((VO, QK), (QK, VO)):
        if shares[full] >= sizes[full]:
            shares = {full: sizes[full], other: budget - sizes[full]}
    kept = {name: shares[pair] / sizes[pair] for pair in (QK, VO) for name in pair}
    return {name: None if part >= 1 else int(part * full_rank(shapes[name])) for name, part in kept.items()}


def square_ranks(h: int, keep: float, a: float) -> tuple[int, int | None]:
    """The published integers (method.md, 6): k_min of q and k, k_max of v and o, None for dense."""
    k = int(keep * h / 2)
    k_max = int(2 * k * a / (1 + a))
    if k_max >= h / 2:
        return int(keep * h) - int(h / 2), None
    return int(2 * k / (1 + a)), k_max


def full_rank(shape: Shape) -> float:
    """Where two factors cost as much as the weight."""
    return shape[0] * shape[1] / (shape[0] + shape[1])


def removed(width: int, sparsity: float, keep_least: float) -> tuple[int, int]:
    """The removed positions in ascending order of the scores; past the end, the kept bottom shrinks instead."""
    begin, end = int(keep_least * width), int((sparsity + keep_least) * width)
    return begin - max(0, end - width), min(end, width)
