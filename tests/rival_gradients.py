"""LLM-Pruner in its plainest form, straight from rivals.md, 4: autograd over the whole model, and no code of lorap."""

from collections.abc import Callable, Collection
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel

from tests.rival_parts import ATTENTION, FFN, Cut, Layer, by_group, groups_of, linears, lowest, silence

Estimate = Literal["element1", "element2", "vector", "mixed"]
DRAWN = 10
Named = dict[tuple[int, str], Tensor]  # by layer and projection


def llm_pruner_counts(layer: Layer, sparsity: float) -> tuple[int, int]:
    """Rows of k and of gate that go, those of k in whole heads: C - int(C * (1 - p))."""
    k, gate = layer.self_attn.k_proj.out_features, layer.mlp.gate_proj.out_features
    return (k - int(k * (1 - sparsity))) // layer.self_attn.head_dim, gate - int(gate * (1 - sparsity))


def llm_pruner(
    model: PreTrainedModel, windows: Tensor, counts: tuple[int, int], inside: Collection[int], estimate: Estimate,
    published_folding: bool,
) -> list[Cut]:  # fmt: skip
    """Removes so many key-value heads and channels from each of the layers inside."""
    heads, channels = counts
    mean, squares = gradients(model, windows[:DRAWN])
    cuts = [Cut() for _ in model.model.layers]
    for index in inside:
        layer = model.model.layers[index]
        lines = {
            name: importance(linear.weight.detach().double(), mean[index, name], squares[index, name], estimate,
                             columns=name in ("o_proj", "down_proj"))
            for name, linear in linears(layer).items()
        }  # fmt: skip
        published = partial(as_published, head_dim=layer.self_attn.head_dim)
        fold: Callable[[Tensor, int], list[float]] = published if published_folding else by_group
        groups = [fold(lines[name], groups_of(layer)) for name in ATTENTION]
        of_groups = [sum(values) for values in zip(*groups, strict=True)]
        of_channels = [sum(values) for values in zip(*(lines[name].tolist() for name in FFN), strict=True)]
        cuts[index] = Cut(lowest(of_groups, heads), lowest(of_channels, channels))
    for layer, cut in zip(model.model.layers, cuts, strict=True):
        silence(layer, cut)
    return cuts


def gradients(model: PreTrainedModel, windows: Tensor) -> tuple[Named, Named]:
    """G of the mean loss of all windows by one backward pass, and the mean of g^2 by one for each."""
    weights = {
        (index, name): linear.weight
        for index, layer in enumerate(model.model.layers)
        for name, linear in linears(layer).items()
    }
    whole = torch.autograd.grad(model(windows, labels=windows).loss, list(weights.values()))
    squares = {key: torch.zeros_like(weight).double() for key, weight in weights.items()}
    for window in windows:
        found = torch.autograd.grad(model(window[None], labels=window[None]).loss, list(weights.values()))
        for key, gradient in zip(weights, found, strict=True):
            squares[key] += gradient.double().square() / len(windows)
    return {key: gradient.double() for key, gradient in zip(weights, whole, strict=True)}, squares


def importance(weight: Tensor, mean: Tensor, squares: Tensor, estimate: Estimate, columns: bool) -> Tensor:
    """Of the rows of a weight, or of its columns."""
    s, curvature = weight * mean, weight**2 * squares
    if columns:
        s, curvature = s.T, curvature.T
    if estimate == "vector":
        return s.sum(1).abs()
    if estimate == "element1":
        return s.abs().sum(1)
    return curvature.abs().sum(1) if estimate == "element2" else (s - curvature / 2).abs().sum(1)


def as_published(lines: Tensor, groups: int, head_dim: int) -> list[float]:
    """The published fold: query head a counts for key-value head a mod groups."""
    heads = by_group(lines, len(lines) // head_dim)
    return [sum(heads[head] for head in range(group, len(heads), groups)) for group in range(groups)]
