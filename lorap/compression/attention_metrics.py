"""Metrics of queries and keys over some windows: what a change of each does to the attention's output (plus.md, 2)."""

from functools import partial

import torch
from torch import Tensor, nn

from lorap.compression.loop import LayerLoop
from lorap.core.attention_metric import key_metric, pulled_back, query_metric
from lorap.core.joint import block_roots
from lorap.model.attending import Recorded, record_attention
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
    stream = loop.streams["compressed"]
    chosen = torch.linspace(0, len(stream) - 1, min(windows, len(stream))).long().tolist()
    sums = [torch.zeros(()), torch.zeros(())]
    for number in chosen:
        seen = record_attention(layer, partial(loop.window_outputs, index, layer, stream[number][None]))
        found = _metrics(seen, linear(layer, "o_proj").weight.float())
        sums = [total.to(part) + part for total, part in zip(sums, found, strict=True)]
    tokens = len(chosen) * stream.shape[1]
    return {"q_proj": sums[0] / tokens, "k_proj": sums[1] / tokens}


@torch.no_grad()
def _metrics(seen: Recorded, output: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over the tokens of a window."""
    attended, width = seen.attended, output.shape[1] // len(seen.attended.queries)
    columns = output.T.view(-1, width, output.shape[0])
    roots, _ = block_roots((columns @ columns.transpose(1, 2)).double())
    queries, keys = [], [torch.zeros(()) for _ in attended.keys]
    ratio = len(attended.queries) // len(attended.keys)
    for head, root in enumerate(roots.float()):
        change = (query_metric(attended, head, root) @ seen.query_jacobian[head]).flatten(0, 1)
        queries.append((change.T @ change).double())
        keys[head // ratio] = keys[head // ratio].to(output) + key_metric(attended, head, root)
    pulled = [pulled_back(metric, jacobian).double() for metric, jacobian in zip(keys, seen.key_jacobian, strict=True)]
    return torch.stack(queries), torch.stack(pulled)
