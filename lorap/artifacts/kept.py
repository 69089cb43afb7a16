"""What the layers of a compressed model keep, by what its configuration says; no weights are read."""

from dataclasses import replace
from pathlib import Path

from lorap.artifacts.description import CONFIG, SECTION, plans_of
from lorap.methods.low_rank import PAIRS
from lorap.model.layer_plan import FFN, PROJECTIONS, LayerPlan, LayerShape
from lorap.model.sizes import read_raw_config, read_sizes

PIECES = {"q, k": PAIRS["qk"], "v, o": PAIRS["vo"], "FFN": FFN}
RANK = "rank of {}"
UNITS = ("heads", "channels", *map(RANK.format, PIECES))


def has_plans(folder: Path) -> bool:
    """Whether a compressed model is there and says what its layers are; one stored as a dense model does not."""
    return (folder / CONFIG).is_file() and SECTION in read_raw_config(folder / CONFIG)


def kept_shares(folder: Path) -> list[dict[str, float]]:
    """For every layer the share of its weights that each piece of it keeps, in (0, 1].

    Raises:
        LorapError: The configuration is damaged.
    """
    shape, plans = plans_of(folder)
    return [{name: _kept(plan, shape, names) for name, names in PIECES.items()} for plan in plans]


def taken_shares(folder: Path) -> list[dict[str, float]]:
    """For every layer the shares of its heads and channels that are gone, and of the rank of what is left of a piece.

    Heads that have become narrow count as rank of v and o.

    Raises:
        LorapError: The configuration is damaged.
    """
    shape, plans = plans_of(folder)
    return [_taken(plan, shape) for plan in plans]


def decoder_weights(config: Path) -> int:
    """Weights of the linears of all decoder layers of a dense model, of which sparsities are fractions.

    Raises:
        LorapError: The configuration is damaged.
    """
    sizes = read_sizes(config)
    return sizes.layers * sizes.layer


def _kept(plan: LayerPlan, shape: LayerShape, names: tuple[str, ...]) -> float:
    """What some projections store over their dense weights; the layer's other numbers cancel out."""
    shared = tuple(group for group in plan.shared if not set(group) & set(names))
    whole = replace(plan, ranks=plan.ranks | dict.fromkeys(names), shared=shared)
    both = [[sizes[name] for name in names] for sizes in (plan.sizes(shape), shape.sizes)]
    left, dense = (sum(out * inp for out, inp in sizes) for sizes in both)
    return (left - whole.stored(shape) + plan.stored(shape)) / dense


def _taken(plan: LayerPlan, shape: LayerShape) -> dict[str, float]:
    wide = replace(plan, value_dim=shape.head_dim, ranks=dict.fromkeys(PROJECTIONS))
    full = {name: min(size) for name, size in wide.sizes(shape).items()}
    own = {name: min(*size, plan.ranks[name] or max(size)) for name, size in plan.sizes(shape).items()}
    found = {"heads": 1 - plan.heads / shape.heads, "channels": 1 - plan.channels / shape.channels}
    for piece, names in PIECES.items():
        whole = sum(full[name] for name in names)
        found[RANK.format(piece)] = 1 - sum(own[name] for name in names) / whole if whole else 0
    return found
