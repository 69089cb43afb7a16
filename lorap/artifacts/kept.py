"""What the layers of a compressed model keep, by what its configuration says; no weights are read."""

from dataclasses import replace
from pathlib import Path

from lorap.artifacts.description import plans_of
from lorap.model.layer_plan import FFN, VALUES, LayerPlan, LayerShape
from lorap.model.sizes import read_sizes

PIECES = {"q, k": ("q_proj", "k_proj"), "v, o": VALUES, "FFN": FFN}


def kept_shares(folder: Path) -> list[dict[str, float]]:
    """For every layer the share of its weights that each piece of it keeps, in (0, 1].

    Raises:
        LorapError: The configuration is damaged.
    """
    shape, plans = plans_of(folder)
    return [{name: _kept(plan, shape, names) for name, names in PIECES.items()} for plan in plans]


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
