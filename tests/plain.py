"""The published procedure in its plainest form, straight from method.md: slow on purpose.

It shares no code with lorap, so that the tests have something to compare lorap with, and the benchmark something to
measure it against: one window at a time, two full passes a layer, full SVDs, dense diagonal matrices and their inverse.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from tests.published import FFN, QK, VO, attention_ranks, full_rank, removed

ATTENTIONS = ("svd", "awsvd", "afm", "none")  # the treatments that the published procedure has
FFNS = ("prune", "decompose", "none")


@torch.no_grad()
def compress_plain(
    model: PreTrainedModel,
    input_ids: Tensor,
    attention: str,
    ffn: str,
    allocation: float,
    keep_least: float,
    sparsity: float,
) -> PreTrainedModel:
    """Compresses a loaded model in place and returns it; the treatments have the names that lorap gives them."""
    if sparsity == 0:
        return model  # the formula for ranks would cut q and k even then (method.md, 6)
    method = "awsvd" if attention == "none" else attention
    arguments = layer_arguments(model, input_ids[:1])
    hidden = [model.model.embed_tokens(window[None]) for window in input_ids]
    for layer, kwargs in zip(model.model.layers, arguments, strict=True):
        linears = {name: getattr(owner(layer, name), name) for name in QK + VO + FFN}
        seen = look(layer, linears, hidden, kwargs, method == "afm")
        shapes = {name: (module.out_features, module.in_features) for name, module in linears.items()}
        ranks = attention_ranks(shapes, 1 - sparsity, allocation) if attention != "none" else {}
        if ffn == "decompose":
            ranks |= {name: int((1 - sparsity) * full_rank(shapes[name])) for name in FFN}
        for name, rank in ranks.items():
            if rank is not None:
                setattr(owner(layer, name), name, factors(linears[name], rank, method, seen[name]))
        if ffn == "prune":
            prune(layer.mlp, sparsity, keep_least, seen)
        hidden = [layer(inputs, **kwargs) for inputs in hidden]
    return model


def layer_arguments(model: PreTrainedModel, window: Tensor) -> list[dict[str, Any]]:
    """What the model hands to each of its layers beside the hidden states: masks, positions, rotary tables."""
    arguments: list[dict[str, Any]] = []

    def record(layer: nn.Module, inputs: tuple[Tensor, ...], kwargs: dict[str, Any]) -> None:
        arguments.append(kwargs)

    hooks = [layer.register_forward_pre_hook(record, with_kwargs=True) for layer in model.model.layers]
    model(window, use_cache=False)
    for hook in hooks:
        hook.remove()
    return arguments


def owner(layer: nn.Module, name: str) -> nn.Module:
    """The sub-layer that a projection belongs to."""
    return layer.get_submodule("mlp" if name in FFN else "self_attn")


class Seen:
    """What a linear has seen: the squares of its inputs (method.md, 3) and, for AFM, the moments of its output."""

    def __init__(self, linear: nn.Linear, output: bool) -> None:
        self.squares = torch.zeros(linear.in_features)
        self.output, self.tokens = output, 0
        out = linear.out_features if output else 0
        self.sum, self.products = torch.zeros(out).double(), torch.zeros(out, out).double()

    def __call__(self, linear: nn.Linear, inputs: tuple[Tensor], outputs: Tensor) -> None:
        self.squares += inputs[0].flatten(0, 1).float().square().sum(0)
        if self.output:
            y = outputs.flatten(0, 1).double()
            self.tokens += len(y)
            self.sum += y.sum(0)
            self.products += y.T @ y

    def scale(self) -> Tensor:
        """d: (in,)."""
        return self.squares.sqrt().where(self.squares > 0, torch.tensor(1e-4))

    def output_covariance(self) -> Tensor:
        """Cov[y]: (out, out)."""
        mean = self.sum / self.tokens
        return self.products / self.tokens - mean[:, None] * mean[None, :]


def look(
    layer: nn.Module, linears: Mapping[str, nn.Linear], hidden: list[Tensor], kwargs: dict[str, Any], output: bool
) -> dict[str, Seen]:
    """A whole pass through the dense layer, every linear watched."""
    seen = {name: Seen(linear, output) for name, linear in linears.items()}
    hooks = [linear.register_forward_hook(seen[name]) for name, linear in linears.items()]
    for inputs in hidden:
        layer(inputs, **kwargs)
    for hook in hooks:
        hook.remove()
    return seen


def factors(dense: nn.Linear, rank: int, method: str, seen: Seen) -> nn.Sequential:
    """A linear as two thin ones (method.md, 4)."""
    weight = dense.weight.float()
    if method == "afm":
        left = torch.linalg.eigh(seen.output_covariance()).eigenvectors[:, -rank:].float()
        right = left.T @ weight
    else:
        d = torch.diag(seen.scale() if method == "awsvd" else torch.ones(dense.in_features))
        u, s, vt = torch.linalg.svd(weight @ d, full_matrices=False)
        left = u[:, :rank] * s[:rank]
        right = vt[:rank] @ torch.linalg.inv(d)
    first = nn.Linear(dense.in_features, rank, bias=False)
    second = nn.Linear(rank, dense.out_features, bias=dense.bias is not None)
    first.weight.copy_(right)
    second.weight.copy_(left)
    if dense.bias is not None:
        second.bias.copy_(dense.bias)
    return nn.Sequential(first, second).to(dense.weight.dtype)


def prune(mlp: nn.Module, sparsity: float, keep_least: float, seen: Mapping[str, Seen]) -> None:
    """Drops the channels between the least important ones, which stay, and the important ones (method.md, 7)."""
    gate, up, down = (getattr(mlp, name) for name in FFN)
    d_in, d_hidden = seen["gate_proj"].scale(), seen["down_proj"].scale()
    scores = (gate.weight * d_in).norm(dim=1) + (up.weight * d_in).norm(dim=1) + down.weight.norm(dim=0) * d_hidden
    begin, end = removed(len(scores), sparsity, keep_least)
    order = scores.argsort()
    kept = torch.cat([order[:begin], order[end:]]).sort().values
    for linear in (gate, up):
        linear.weight = nn.Parameter(linear.weight[kept], requires_grad=False)
    down.weight = nn.Parameter(down.weight[:, kept].contiguous(), requires_grad=False)
