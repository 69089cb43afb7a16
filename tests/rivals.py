"""The rivals in their plainest form, straight from rivals.md, 2 and 3: slow on purpose, and no code of lorap.

Each function changes a loaded model in place; those that remove units say which.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from tests.rival_parts import Cut, Layer, by_group, groups_of, linears, lowest, readings, silence, squares

Counts = Callable[[nn.Module], tuple[int, int]]  # of a layer: how many key-value heads and channels go
Metric = Literal["ifv", "wifv", "wifn"]
LAST = ("o_proj", "down_proj")


@torch.no_grad()
def magnitude_sp(model: PreTrainedModel, counts: Counts) -> list[Cut]:
    """The norms of the columns of o and down."""
    cuts = []
    for layer in model.model.layers:
        o, down = (linears(layer)[name].weight.double().norm(dim=0) for name in LAST)
        heads, channels = counts(layer)
        cuts.append(Cut(lowest(by_group(o, groups_of(layer)), heads), lowest(down.tolist(), channels)))
        silence(layer, cuts[-1])
    return cuts


@torch.no_grad()
def wanda_sp(model: PreTrainedModel, windows: Tensor, counts: Counts) -> list[Cut]:
    """Mean |W_ij| times the size of x_j, layer after layer: each reads what the cut ones before it have left."""
    cuts = []
    for index, layer in enumerate(model.model.layers):
        cuts.append(wanda_sp_units(layer, readings(model, windows)[index], counts))
        silence(layer, cuts[-1])
    return cuts


def wanda_sp_units(layer: Layer, seen: dict[str, list[Tensor]], counts: Counts) -> Cut:
    """What goes from a layer."""
    o, down = (linears(layer)[name].weight.double().abs().mean(0) * squares(seen[name]).sqrt() for name in LAST)
    heads, channels = counts(layer)
    return Cut(lowest(by_group(o, groups_of(layer)), heads), lowest(down.tolist(), channels))


@torch.no_grad()
def wanda_sp_refit(model: PreTrainedModel, windows: Tensor, counts: Counts, ridge: float) -> list[Cut]:
    """The same units, and what is left solved again."""
    return refit_behind(model, windows, ridge, lambda index, layer, seen: wanda_sp_units(layer, seen, counts))


@torch.no_grad()
def flap_refit(model: PreTrainedModel, windows: Tensor, sparsity: float, ridge: float) -> list[Cut]:
    """The units that FLAP removes, with the published scores and exact costs; solved again, without its biases."""
    cuts = flap(copy.deepcopy(model), windows, sparsity, "wifv", True, None)
    return refit_behind(model, windows, ridge, lambda index, layer, seen: cuts[index])


def refit_behind(
    model: PreTrainedModel, windows: Tensor, ridge: float, chosen: Callable[[int, Layer, dict[str, list[Tensor]]], Cut]
) -> list[Cut]:
    """Units go layer by layer, and o and down are solved again, in turn, for what the layer made of its stream."""
    cuts = []
    for index, layer in enumerate(model.model.layers):
        cuts.append(chosen(index, layer, readings(model, windows)[index]))
        wide = linears(layer)["o_proj"].in_features // groups_of(layer)
        columns = {unit for group in cuts[-1].groups for unit in range(group * wide, (group + 1) * wide)}
        for name, gone in zip(LAST, (columns, cuts[-1].channels), strict=True):
            solve_again(linears(layer)[name], torch.cat(readings(model, windows)[index][name]), gone, ridge)
    return cuts


def solve_again(linear: nn.Linear, x: Tensor, gone: set[int], ridge: float) -> None:
    """W' = W_K + (W G_:K - W_K G_KK)(G_KK + ridge diag G_KK)^-1, and nothing where a unit has gone."""
    kept = [unit for unit in range(x.shape[1]) if unit not in gone]
    weight, gram = linear.weight.double(), x.T @ x
    inner = gram[kept][:, kept]
    lacking = weight @ gram[:, kept] - weight[:, kept] @ inner
    new = torch.zeros_like(weight)
    new[:, kept] = weight[:, kept] + lacking @ torch.linalg.inv(inner + ridge * inner.diagonal().diag())
    linear.weight = nn.Parameter(new.float())


def mean_of(windows: Sequence[Tensor]) -> Tensor:
    """m: the mean over windows of their means."""
    return torch.stack([window.mean(0) for window in windows]).mean(0)


def fluctuation(windows: Sequence[Tensor], published: bool) -> Tensor:
    """f of every feature: the sample variance, or what the published code has in its place."""
    if not published:
        return torch.stack([(window - mean_of(windows)).square().sum(0) for window in windows]).sum(0) / (
            len(windows) - 1
        )
    mean, f = torch.zeros(windows[0].shape[1]).double(), torch.zeros(windows[0].shape[1]).double()
    for n, window in enumerate(windows):
        mean = (mean * n + window.mean(0)) / (n + 1)
        if n > 0:
            f = f * (n - 1) / n + ((window - mean) * (window - mean)).sum(0) / (n + 1)
    return f


def flap_metric(weight: Tensor, windows: Sequence[Tensor], metric: Metric, published: bool) -> Tensor:
    """What every column of a weight counts."""
    if metric == "wifn":
        return weight.double().abs().mean(0) * squares(windows).sqrt()
    f = fluctuation(windows, published)
    return f if metric == "ifv" else f * weight.double().norm(dim=0) ** 2


@torch.no_grad()
def flap(
    model: PreTrainedModel, windows: Tensor, sparsity: float, metric: Metric, published: bool, counts: Counts | None,
    published_costs: bool = False,
) -> list[Cut]:  # fmt: skip
    """FLAP with its biases: UL-UM where ``counts`` says how many go from each layer, else AL-AM."""
    seen = readings(model, windows)
    columns: list[tuple[Tensor, Tensor]] = []
    for layer, read in zip(model.model.layers, seen, strict=True):
        o, down = (flap_metric(linears(layer)[name].weight, read[name], metric, published) for name in LAST)
        columns.append((o.square() if published else o, down))
    if counts:
        cuts = []
        for layer, (o, down) in zip(model.model.layers, columns, strict=True):
            heads, channels = counts(layer)
            cuts.append(Cut(lowest(by_group(o, groups_of(layer)), heads), lowest(down.tolist(), channels)))
    else:
        cuts = _below_one_threshold(model, columns, sparsity, published_costs)
    for layer, read, cut in zip(model.model.layers, seen, cuts, strict=True):
        _replace_by_means(layer, {name: mean_of(read[name]) for name in LAST}, cut)
    return cuts


def _below_one_threshold(
    model: PreTrainedModel, columns: Sequence[tuple[Tensor, Tensor]], sparsity: float, published: bool
) -> list[Cut]:
    """AL-AM: all units in one list, each as good as it is among those of its layer.

    Where not as published, the best channels fill what the heads above the threshold leave of the budget.
    """
    units: list[tuple[float, float, int, str, int]] = []  # score, cost, layer, kind, number
    for index, (layer, (o, down)) in enumerate(zip(model.model.layers, columns, strict=True)):
        o, down = ((values - values.mean()) / values.std() for values in (o, down))
        groups = groups_of(layer)
        size = sum(linears(layer)[name].weight.numel() for name in ("q_proj", "k_proj", "v_proj", "o_proj")) / groups
        cost = size / (3 * model.config.hidden_size)
        for number, total in enumerate(by_group(o, groups)):
            mean = total / (len(o) // groups)
            units.append((mean, int(cost) if published else cost, index, "groups", number))
        units += [(value, 1, index, "channels", number) for number, value in enumerate(down.tolist())]
    units.sort(key=lambda unit: -unit[0])
    aim = (1 - sparsity) * sum(unit[1] for unit in units)
    spent, nearest, threshold = 0.0, float("inf"), 0.0
    for score, cost, *_ in units:
        spent += cost
        if abs(spent - aim) < nearest:
            nearest, threshold = abs(spent - aim), score
    cuts = [Cut() for _ in columns]
    left = aim - sum(cost for score, cost, _, kind, _ in units if kind == "groups" and score > threshold)
    for score, _, index, kind, number in units:
        fits = score > threshold if published or kind == "groups" else left >= 0.5
        if kind == "channels":
            left -= 1
        if not fits:
            getattr(cuts[index], kind).add(number)
    return cuts


@torch.no_grad()
def _replace_by_means(layer: nn.Module, means: dict[str, Tensor], cut: Cut) -> None:
    before = {name: linears(layer)[name].weight.double() for name in LAST}  # a copy: the weights are float32
    silence(layer, cut)
    for name, dense in before.items():
        linear = linears(layer)[name]
        bias = ((dense - linear.weight.double()) @ means[name]).float()  # what was silenced, times its mean
        linear.bias = nn.Parameter(bias if linear.bias is None else linear.bias + bias)
