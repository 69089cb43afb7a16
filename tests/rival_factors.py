"""The rivals that factorise, in their plainest form, straight from rivals.md, 5 and 8: no code of lorap.

Each function changes a loaded model in place. A low-rank weight stays one matrix, and what goes from a head or an FFN
is silenced, which gives the same function.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from tests.published import QK, VO, attention_ranks, full_rank, removed
from tests.rival_parts import ATTENTION, FFN, Cut, Layer, groups_of, linears, readings, silence


def svd_llm_rank(shape: tuple[int, int], sparsity: float) -> int:
    """k = int(keep * m * n / (m + n))."""
    return int((1 - sparsity) * full_rank(shape))


def svd_llm_pair(linear: nn.Linear, inputs: Sequence[Tensor], rank: int) -> tuple[Tensor, Tensor]:
    """The published route: a Cholesky factor of the moment, an SVD, and the factor's inverse."""
    x = torch.cat(list(inputs))
    root = torch.linalg.cholesky(x.T @ x)
    u, s, vt = torch.linalg.svd(linear.weight.double() @ root, full_matrices=False)
    return u[:, :rank] * s[:rank].sqrt(), s[:rank, None].sqrt() * vt[:rank] @ torch.linalg.inv(root)


@torch.no_grad()
def svd_llm(
    model: PreTrainedModel, windows: Tensor, sparsity: float, *, v2: bool = False, update: bool = False
) -> None:
    """Everything from the dense model's moments; the update then goes through the layers that came before."""
    dense = readings(model, windows)
    ranks = [
        {name: svd_llm_rank(tuple(p.weight.shape), sparsity) for name, p in linears(layer).items()}
        for layer in model.model.layers
    ]
    if v2:
        for name in ATTENTION + FFN:
            kind = [linears(layer)[name] for layer in model.model.layers]
            for index, rank in enumerate(log_ranks(kind, [read[name] for read in dense], ranks[0][name])):
                ranks[index][name] = rank
    for index, layer in enumerate(model.model.layers):
        now = readings(model, windows)[index] if update else {}
        for name, linear in linears(layer).items():
            left, right = svd_llm_pair(linear, dense[index][name], ranks[index][name])
            if update:
                x = torch.cat(now[name])
                y, low = x @ linear.weight.double().T, x @ right.T
                left = torch.linalg.lstsq(low, y).solution.T
            linear.weight = nn.Parameter((left @ right).float())


def log_ranks(kind: Sequence[nn.Linear], inputs: Sequence[Sequence[Tensor]], uniform: int) -> list[int]:
    """v2: among the weights of a kind, cut ratios that go as 1 / log of what the uniform rank would cut.

    What rounding leaves over goes, a rank at a time, to where the next direction is largest.
    """
    spectra = []
    for linear, read in zip(kind, inputs, strict=True):
        spectra.append(torch.linalg.svdvals(linear.weight.double() @ torch.cat(list(read)).T))
    tails = [float(values[uniform:].norm()) for values in spectra]
    logs = [math.log(tail) if tail > 1 else math.log1p(tail) for tail in tails]
    out, inp = kind[0].weight.shape
    most = out * inp // (out + inp)
    ratio = len(kind) * (1 - uniform / most)
    ranks = [int(most * (1 - ratio / log / sum(1 / one for one in logs))) for log in logs]
    while sum(ranks) < uniform * len(kind):
        ranks[max((i for i in range(len(kind)) if ranks[i] < most), key=lambda i: spectra[i][ranks[i]])] += 1
    return ranks


def awsvd(linear: nn.Linear, inputs: Sequence[Tensor], rank: int | None) -> None:
    """The weight of that rank which is nearest where inputs count by their size."""
    if rank is not None:
        d = torch.cat(list(inputs)).norm(dim=0)
        u, s, vt = torch.linalg.svd(linear.weight.double() * d, full_matrices=False)
        linear.weight = nn.Parameter(((u[:, :rank] * s[:rank]) @ vt[:rank] / d).float())


def lowest_channels(layer: Layer, read: dict[str, list[Tensor]], down: Tensor, count: int) -> Cut:
    """By LoRAP's score with another matrix in down's place; a hundredth at the bottom stays."""
    gate, up = (linears(layer)[name].weight.double() for name in FFN[:2])
    d_in, d_hidden = (torch.cat(read[name]).norm(dim=0) for name in ("gate_proj", "down_proj"))
    scores = (gate * d_in).norm(dim=1) + (up * d_in).norm(dim=1) + down.norm(dim=0) * d_hidden
    start = min(len(scores) // 100, len(scores) - count)
    return Cut(channels=set(scores.argsort()[start : start + count].tolist()))


@torch.no_grad()
def slimllm_ffn(model: PreTrainedModel, windows: Tensor, sparsity: float) -> list[Cut]:
    """LoRAP's attention, and channels by the directions in which the FFN's output varies."""
    cuts = []
    for index, layer in enumerate(model.model.layers):
        read, parts = readings(model, windows)[index], linears(layer)
        outputs = torch.cat(read["down_proj"]) @ parts["down_proj"].weight.double().T
        values, vectors = torch.linalg.eigh(outputs.T.cov(correction=0))
        down = (values / values.mean()).sigmoid()[:, None] * (vectors.T @ parts["down_proj"].weight.double())
        start, end = removed(parts["gate_proj"].out_features, sparsity, 0.01)
        cuts.append(lowest_channels(layer, read, down, end - start))
        shapes = {name: tuple(linear.weight.shape) for name, linear in parts.items()}
        for name, rank in attention_ranks(shapes, 1 - sparsity, 3).items():
            awsvd(parts[name], read[name], rank)
        silence(layer, cuts[-1])
    return cuts


@torch.no_grad()
def olica(model: PreTrainedModel, windows: Tensor, sparsity: float) -> list[Cut]:
    """q and k by AWSVD, the same dimensions fewer in v and o of every head, channels for the rest of the budget."""
    cuts = []
    s_vo = 2 * sparsity / 4
    s_qk = 2 * sparsity if sparsity <= 0.4 else 3 * s_vo
    for index, layer in enumerate(model.model.layers):
        read, parts = readings(model, windows)[index], linears(layer)
        whole = sum(linear.weight.numel() for linear in parts.values())
        ranks = {name: math.ceil((1 - s_qk) * full_rank(tuple(parts[name].weight.shape))) for name in QK}
        dim = layer.self_attn.head_dim
        gone = int(s_vo * dim)
        left = sum(parts[name].weight.numel() for name in VO) * (dim - gone) / dim
        left += sum(rank * sum(parts[name].weight.shape) for name, rank in ranks.items())
        channels = 0
        hidden, wide = model.config.hidden_size, parts["gate_proj"].out_features
        while left + 3 * hidden * (wide - channels) > (1 - sparsity) * whole:
            channels += 1
        cuts.append(lowest_channels(layer, read, parts["down_proj"].weight.double(), channels))
        for name, rank in ranks.items():
            awsvd(parts[name], read[name], rank)
        olica_heads(layer, read, dim - gone)
        silence(layer, cuts[-1])
    return cuts


def olica_heads(layer: Layer, read: dict[str, list[Tensor]], kept: int) -> None:
    """Projects what o reads of a head on its directions that weigh most in v and o; heads that share v share them."""
    o, v = (linears(layer)[name] for name in ("o_proj", "v_proj"))
    groups, dim = groups_of(layer), layer.self_attn.head_dim
    size = (torch.cat(read["o_proj"]) @ o.weight.double().T).norm(dim=0)
    d = torch.cat(read["v_proj"]).norm(dim=0)
    heads = o.weight.double().view(o.out_features, groups, -1, dim)
    projected = torch.empty_like(heads)
    for group in range(groups):
        stacked = (heads[:, group] * size[:, None, None]).reshape(-1, dim)
        turn = torch.linalg.svd(stacked, full_matrices=False).Vh.T
        values = turn.T @ v.weight.double()[group * dim : (group + 1) * dim] * d
        best = turn[:, (values.norm(dim=1) + (stacked @ turn).norm(dim=0)).argsort()[-kept:]]
        projected[:, group] = heads[:, group] @ best @ best.T
    o.weight = nn.Parameter(projected.view_as(o.weight).float())
