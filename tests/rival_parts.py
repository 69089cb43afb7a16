"""What the plain rivals share: inputs seen by hooks, cuts made by zeros, counts by the rules (rivals.md, 1 to 4).

No code of lorap is used here. A unit that goes is silenced, not cut out, which gives the same function.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

Layer = Any  # of a decoder; transformers' classes are not typed
ATTENTION, FFN = ("q_proj", "k_proj", "v_proj", "o_proj"), ("gate_proj", "up_proj", "down_proj")


@dataclass
class Cut:
    """Key-value heads, each with its query heads, and channels that go from a layer."""

    groups: set[int] = field(default_factory=set)
    channels: set[int] = field(default_factory=set)


def linears(layer: Layer) -> dict[str, Any]:
    """The seven projections of a layer."""
    return {name: getattr(layer.self_attn if name in ATTENTION else layer.mlp, name) for name in ATTENTION + FFN}


def groups_of(layer: Layer) -> int:
    """How many key-value heads a layer has."""
    return int(layer.self_attn.k_proj.out_features // layer.self_attn.head_dim)


@torch.no_grad()
def readings(model: PreTrainedModel, windows: Tensor) -> list[dict[str, list[Tensor]]]:
    """What the projections of every layer read when the model runs as it is now: by window, (tokens, features)."""
    seen: list[dict[str, list[Tensor]]] = []
    hooks = []
    for layer in model.model.layers:
        seen.append({name: [] for name in linears(layer)})
        for name, linear in linears(layer).items():
            hooks.append(linear.register_forward_pre_hook(partial(_note, seen[-1][name])))
    for window in windows:
        model(window[None], use_cache=False)
    for hook in hooks:
        hook.remove()
    return seen


def _note(place: list[Tensor], module: nn.Module, inputs: tuple[Tensor]) -> None:
    place.append(inputs[0][0].double())


def squares(windows: Sequence[Tensor]) -> Tensor:
    """q: the mean over windows of the sum over their tokens of x^2."""
    return torch.stack([window.square().sum(0) for window in windows]).mean(0)


def by_group(columns: Tensor, groups: int) -> list[float]:
    """What the columns of each key-value head add up to, those of all its query heads."""
    wide = len(columns) // groups
    return [float(columns[group * wide : (group + 1) * wide].sum()) for group in range(groups)]


def lowest(scores: Sequence[float], count: int) -> set[int]:
    """The units with the lowest scores."""
    return set(sorted(range(len(scores)), key=lambda unit: scores[unit])[:count])


@torch.no_grad()
def silence(layer: Layer, cut: Cut) -> None:
    """Takes what goes out of the sub-layers' sums: its columns of o and down become zero."""
    parts = linears(layer)
    wide = parts["o_proj"].in_features // groups_of(layer)
    for group in cut.groups:
        parts["o_proj"].weight[:, group * wide : (group + 1) * wide] = 0
    for channel in cut.channels:
        parts["down_proj"].weight[:, channel] = 0


def published_counts(layer: Layer, sparsity: float) -> tuple[int, int]:
    """How many key-value heads and channels go where the published code truncates both."""
    return int(sparsity * groups_of(layer)), int(sparsity * layer.mlp.gate_proj.out_features)


def fitting_counts(model: PreTrainedModel, inside: Collection[int], sparsity: float) -> tuple[int, int]:
    """The same, for each of the layers inside, where heads are rounded and channels go until the budget is met."""
    layers = model.model.layers
    per_layer = sum(linear.weight.numel() for linear in linears(layers[0]).values())
    wanted = sparsity * per_layer * len(layers)
    groups, hidden = groups_of(layers[0]), model.config.hidden_size
    one_group = sum(linears(layers[0])[name].weight.numel() for name in ATTENTION) // groups
    heads = min(groups - 1, int(wanted / (per_layer * len(inside)) * groups + 0.5))
    channels = 0
    while len(inside) * (heads * one_group + channels * 3 * hidden) < wanted:
        channels += 1
    return heads, channels
