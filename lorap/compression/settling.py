"""The compressed stream behind a layer's attention, once that changes no more."""

from functools import partial

import torch
from torch import nn

from lorap.compression.loop import LayerLoop
from lorap.compression.passing import passing, skip_attention
from lorap.model.family import has, projection


@torch.no_grad()
def settle_attention(loop: LayerLoop, index: int, layer: nn.Module) -> None:
    """Takes the compressed stream to behind a layer's attention, which need not pass again.

    Args:
        loop: At the layer. Where it has kept what o reads behind the compressed attention, o alone runs.
        index: Number of the layer.
        layer: The layer, its attention compressed; it is skipped from now on, until ``restore_attention``.
    """
    hidden, read = loop.streams["compressed"], loop.kept.get(("compressed", "attention_out"))
    output = projection(layer, "o_proj") if read is not None and has(layer, "o_proj") else None
    for window in loop.batches():
        inputs = hidden[window].to(loop.device)
        if read is None or output is None:
            middle = passing(layer, partial(loop.window_outputs, index, layer, inputs), ["ffn_in"])["middle"]
        else:
            middle = inputs + output(read[window, ..., : output.in_features].to(loop.device))
        hidden[window] = middle.to(loop.store.device)
    skip_attention(layer)
