"""How far each weight of a layer has moved, in the norm that its method minimises and in the plain one."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lorap.core.factorise import numbers, relative_error
from lorap.methods.part import Treatment
from lorap.methods.seen import Seen
from lorap.model.family import has, projection
from lorap.model.layer_plan import ATTENTION, PROJECTIONS
from lorap.model.units import KIND, dim_of, places

Errors = dict[str, float]
WHOLE = {"channels": "gate_proj", "kv_heads": "k_proj"}  # a projection whose units are never narrower


def layer_errors(layer: nn.Module, treatments: tuple[Treatment, Treatment], seen: Seen) -> dict[str, Errors]:
    """Relative errors of the projections that changed.

    Args:
        layer: What became of the dense one.
        treatments: Of the attention and of the FFN.
        seen: The weights as they were, the units that were kept, and what the metric of their norm is made of.

    Returns:
        ``errors`` in the norm that the treatment minimises, where it is one of a weight alone, ``plain_errors`` in the
        Frobenius norm. A projection whose outputs or inputs mean something else now, such as those of narrower heads,
        has neither.
    """
    found: dict[str, dict[str, Tensor]] = {"errors": {}, "plain_errors": {}}
    for name in PROJECTIONS:
        whole = _in_place(seen.dense, layer, name, seen.kept)
        if whole is None:
            continue
        metric = treatments[0 if name in ATTENTION else 1].metric(name, seen)
        found["plain_errors"][name] = relative_error(seen.dense[name], whole, None)
        found["errors"][name] = relative_error(seen.dense[name], whole, metric)
    return {norm: numbers(errors) for norm, errors in found.items()}


def _in_place(weights: Mapping[str, Tensor], layer: nn.Module, name: str, kept: Mapping[str, Tensor]) -> Tensor | None:
    """What became of a weight in the shape that it had, zeros for what was removed; None where it is the same."""
    dense, dim = weights[name], dim_of(name)
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
    units, whole = kept.get(KIND[name]), WHOLE[KIND[name]]
    if units is None or weight.shape[1 - dim] != dense.shape[1 - dim]:
        return None
    total = weights[whole].shape[0] * len(units) // projection(layer, whole).out_features
    width = dense.shape[dim] // total
    if weight.shape[dim] != width * len(units):  # narrower heads
        return None
    return torch.zeros_like(dense).index_copy_(dim, places(units, width), weight.to(dense.dtype))
