"""Metrics of queries and keys over some windows: what a change of each does to the attention's output (plus.md, 2)."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lorap.compression.loop import LayerLoop
from lorap.compression.passing import some_windows
from lorap.core.attention_metric import Attended, key_metric, pulled_back, query_metric
from lorap.core.factorise import in_float64
from lorap.core.joint import block_roots
from lorap.model.attending import attended, jacobians, record_call
from lorap.model.family import linear


def attention_metrics(loop: LayerLoop, index: int, layer: nn.Module, windows: int) -> dict[str, Tensor]:
    """A of q and of k, by head: the mean over tokens of the squared change of the attention's output.

    Args:
        loop: At the layer, whose stream is what passes.
        index: Number of the layer.
        layer: The dense layer.
        windows: How many to take, spread over all.

    Returns:
        Of q_proj (heads, d, d), and of k_proj (groups, d, d), float64.
    """
    run, chosen = partial(loop.window_outputs, index, layer), chosen_windows(loop, windows)
    roots = _output_roots(layer)
    sums: dict[str, Tensor] = {}
    for window in chosen[:, None]:
        window = window.to(loop.device)
        call = record_call(layer, partial(run, window))
        found = _metrics(attended(call), jacobians(call), roots)
        sums = {name: sums[name] + metric if sums else metric for name, metric in found.items()}
    return {name: metric / chosen[..., 0].numel() for name, metric in sums.items()}


def chosen_windows(loop: LayerLoop, count: int) -> Tensor:
    """Some of the windows that reach a layer, spread over all: (count, tokens, hidden)."""
    return some_windows(loop.streams["compressed"], count)


@torch.no_grad()
def _output_roots(layer: Any) -> Tensor:
    """For the columns of o's weight that each head has, W, the root of W^T W: (heads, d, d), float32."""
    output = linear(layer, "o_proj").weight.float()
    columns = output.T.view(-1, layer.self_attn.head_dim, len(output))
    roots, _ = block_roots(in_float64(columns @ columns.transpose(1, 2)))
    return roots.float().to(output.device)


@torch.no_grad()
def _metrics(seen: Attended, jacobian: Mapping[str, Tensor], roots: Tensor) -> dict[str, Tensor]:
    """Sums over the tokens of a window."""
    queries, keys = [], [torch.zeros_like(seen.keys[0])[:, :, None] for _ in seen.keys]
    ratio = len(seen.queries) // len(seen.keys)
    for head, root in enumerate(roots):
        change = (query_metric(seen, head, root) @ jacobian["q_proj"][head]).flatten(0, 1)
        queries.append(in_float64(change.T @ change))
        keys[head // ratio] = keys[head // ratio] + key_metric(seen, head, root)
    pulled = [in_float64(pulled_back(metric, own)) for metric, own in zip(keys, jacobian["k_proj"], strict=True)]
    return {"q_proj": torch.stack(queries), "k_proj": torch.stack(pulled)}
