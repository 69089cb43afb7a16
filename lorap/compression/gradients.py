"""Gradients of the loss with respect to the weights of one layer at a time, in memory for one layer."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from lorap.compression.loop import LayerLoop
from lorap.errors import LorapError
from lorap.methods.seen import Gradient
from lorap.model.family import decoder_layers, linear
from lorap.model.head import fill_head
from lorap.model.layer_plan import PROJECTIONS
from lorap.model.stream import fill_layer

Gradients = dict[str, Gradient]


def backward(
    loop: LayerLoop, input_ids: Tensor, inputs: Sequence[Tensor], squared: bool = True
) -> Iterator[tuple[int, nn.Module, Gradients]]:
    """Goes from the last layer to the first, each computed again with its gradients.

    The loss of a window is the mean over its tokens, as usual for a causal language model.

    Args:
        loop: Of the dense model.
        input_ids: (windows, tokens).
        inputs: Of every layer, (windows, tokens, hidden).
        squared: Whether the squares of the gradients are wanted too.

    Yields:
        Number of the layer, the layer with its weights, and by projection the gradients over the windows.

    Raises:
        LorapError: A gradient is not finite.
    """
    layers = list(decoder_layers(loop.model)) if inputs else []
    flowing: list[Tensor] = []
    for index in reversed(range(len(layers))):
        fill_layer(layers[index], index, loop.weights, loop.dtype, loop.device)
        if not flowing:
            flowing = _behind_last_layer(loop, layers[index], input_ids, inputs[index])
        yield index, layers[index], _layer_gradients(loop, index, layers[index], inputs[index], flowing, squared)
        layers[index].to("meta")


@torch.enable_grad()
def _layer_gradients(
    loop: LayerLoop, index: int, layer: nn.Module, inputs: Tensor, flowing: list[Tensor], squared: bool
) -> Gradients:
    """Gradients of the layer's weights; ``flowing``, by its outputs, becomes that by its inputs, window by window.

    A weight's gradient of one window is added up as soon as it is there, and is gone before the next one's.
    """
    weights = [linear(layer, name).weight.requires_grad_() for name in PROJECTIONS]
    found = [_zero(weight, squared) for weight in weights]
    hooks = [
        weight.register_post_accumulate_grad_hook(partial(_add_to, sums))  # type: ignore[no-untyped-call]
        for weight, sums in zip(weights, found, strict=True)
    ]
    for number in range(len(inputs)):
        window = inputs[number : number + 1].to(loop.device).requires_grad_()
        loop.window_outputs(index, layer, window).backward(flowing[number])  # type: ignore[no-untyped-call]
        flowing[number] = cast("Tensor", window.grad)
    for hook, weight in zip(hooks, weights, strict=True):
        hook.remove()
        weight.requires_grad_(False)
    if not all(torch.stack([sums.mean.sum().isfinite() for sums in found]).tolist()):
        raise LorapError(f"layer {index}: gradients of the loss are not finite in {loop.dtype}; try float32")
    for sums in found:
        sums.mean.div_(len(inputs))
        sums.squares.div_(len(inputs))
    return dict(zip(PROJECTIONS, found, strict=True))


def _zero(weight: Tensor, squared: bool) -> Gradient:
    total = torch.zeros_like(weight, dtype=torch.float32)
    return Gradient(total, torch.zeros_like(total) if squared else total.new_empty(0))


def _add_to(sums: Gradient, weight: Tensor) -> None:
    """Adds what a window has given a weight, and forgets it."""
    gradient, weight.grad = cast("Tensor", weight.grad), None
    sums.mean.add_(gradient)
    if len(sums.squares):
        sums.squares.add_(gradient.float().square())


def _behind_last_layer(loop: LayerLoop, layer: nn.Module, input_ids: Tensor, inputs: Tensor) -> list[Tensor]:
    """The gradient of each window's loss by the outputs of the last layer."""
    head = fill_head(loop.model, loop.weights, loop.dtype, loop.device).requires_grad_(False)
    found: list[Tensor] = []
    for number in range(len(inputs)):
        with torch.no_grad():
            outputs = loop.window_outputs(len(loop) - 1, layer, inputs[number : number + 1])
        with torch.enable_grad():
            outputs = outputs.detach().requires_grad_()
            logits = head(outputs)[0, :-1].float()
            loss = nn.functional.cross_entropy(logits, input_ids[number, 1:].to(loop.device))
            found += torch.autograd.grad(loss, outputs)
    head.to("meta")
    return found
