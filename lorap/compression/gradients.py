"""Gradients of the loss with respect to the weights of one layer at a time, in memory for one layer."""

from collections.abc import Iterator, Sequence

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
    loop: LayerLoop, input_ids: Tensor, inputs: Sequence[Tensor]
) -> Iterator[tuple[int, nn.Module, Gradients]]:
    """Goes from the last layer to the first, each computed again with its gradients.

    The loss of a window is the mean over its tokens, as usual for a causal language model.

    Args:
        loop: Of the dense model.
        input_ids: (windows, tokens).
        inputs: Of every layer, (windows, tokens, hidden).

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
        yield index, layers[index], _layer_gradients(loop, index, layers[index], inputs[index], flowing)
        layers[index].to("meta")


@torch.enable_grad()
def _layer_gradients(loop: LayerLoop, index: int, layer: nn.Module, inputs: Tensor, flowing: list[Tensor]) -> Gradients:
    """Gradients of the layer's weights; ``flowing``, by its outputs, becomes that by its inputs, window by window."""
    weights = [linear(layer, name).weight.requires_grad_() for name in PROJECTIONS]
    sums = [torch.zeros_like(weight, dtype=torch.float32) for weight in weights]
    squares = [torch.zeros_like(total) for total in sums]
    for number in range(len(inputs)):
        window = inputs[number : number + 1].to(loop.device).requires_grad_()
        outputs = loop.window_outputs(index, layer, window)
        flowing[number], *found = torch.autograd.grad(outputs, [window, *weights], flowing[number])
        for total, square, gradient in zip(sums, squares, found, strict=True):
            total += gradient
            square += gradient.float().square()
    for weight in weights:
        weight.requires_grad_(False)
    if not all(torch.stack([square.sum().isfinite() for square in squares]).tolist()):
        raise LorapError(f"layer {index}: gradients of the loss are not finite in {loop.dtype}; try float32")
    count = len(inputs)
    means = zip(PROJECTIONS, sums, squares, strict=True)
    return {name: Gradient(total.div_(count), square.div_(count)) for name, total, square in means}


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
