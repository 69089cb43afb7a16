"""How far each weight of a layer has moved, in the norm that its method minimises and in the plain one."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lorap.core.factorise import relative_error
from lorap.methods.part import Treatment
from lorap.methods.seen import Seen
from lorap.model.family import has, projection
from lorap.model.layer_plan import ATTENTION, PROJECTIONS
from lorap.model.units import KIND, dim_of, places

Errors = dict[str, float]


def layer_errors(
    dense: Mapping[str, Tensor],
    layer: nn.Module,
    kept: Mapping[str, Tensor],
    treatments: tuple[Treatment, Treatment],
    seen: Seen,
) -> dict[str, Errors]:
    """Relative errors of the projections that changed.

    Args:
        dense: The weights as they were, (out, in).
        layer: What became of them.
        kept: Indices of the units that were kept, where units were removed.
        treatments: Of the attention and of the FFN.
        seen: What the metric of their norm is made of.

    Returns:
        ``errors`` in the norm that the treatment minimises, ``plain_errors`` in the Frobenius norm. A projection whose
        outputs or inputs mean something else now, such as those of narrower heads, has neither.
    """
    found: dict[str, Errors] = {"errors": {}, "plain_errors": {}}
    for name in PROJECTIONS:
        whole = _in_place(dense[name], layer, name, kept)
        if whole is None:
            continue
        metric = treatments[0 if name in ATTENTION else 1].metric(name, seen)
        found["plain_errors"][name] = relative_error(dense[name], whole, None)
        found["errors"][name] = relative_error(dense[name], whole, metric)
    return found


def _in_place(dense: Tensor, layer: nn.Module, name: str, kept: Mapping[str, Tensor]) -> Tensor | None:
    """What became of a weight in the shape that it had, zeros for what was removed; None where it is the same."""
    if not has(layer, name):
        return torch.zeros_like(dense)
    module = projection(layer, name)
    if isinstance(module, nn.Linear):
        weight: Tensor = module.weight
        if weight is dense:
            return None
    else:
        left, right = module.factors()
        weight = left.float() @ right.float()
    if weight.shape == dense.shape:
        return weight
    dim, units = dim_of(name), kept.get(KIND[name])
    if units is None or weight.shape[1 - dim] != dense.shape[1 - dim] or weight.shape[dim] % len(units):
        return None
    index = places(units, weight.shape[dim] // len(units))
    return torch.zeros_like(dense).index_copy_(dim, index, weight.to(dense.dtype))
