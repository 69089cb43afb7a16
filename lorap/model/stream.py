"""Rewriting a model folder layer by layer: weights are read, changed and written without the model in memory."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from lorap.model.family import decoder_layers
from lorap.model.weights import SINGLE, WeightsReader, WeightsWriter

LAYER_PREFIX = "model.layers.{}."
Layers = Iterable[tuple[int, nn.Module]]


def stream_layers(
    model: PreTrainedModel, weights: WeightsReader, dtype: torch.dtype, device: torch.device
) -> Iterator[tuple[int, nn.Module]]:
    """Yields each decoder layer of a skeleton with its weights; they are dropped when the next one is asked for."""
    for index, layer in enumerate(decoder_layers(model)):
        fill_layer(layer, index, weights, dtype, device)
        yield index, layer
        layer.to("meta")


def fill_layer(layer: nn.Module, index: int, weights: WeightsReader, dtype: torch.dtype, device: torch.device) -> None:
    """Gives a layer of a skeleton its weights."""
    fill(layer, LAYER_PREFIX.format(index), weights, dtype, device)


def fill(part: nn.Module, prefix: str, weights: WeightsReader, dtype: torch.dtype, device: torch.device) -> None:
    """Gives a part of a skeleton its weights, whose names begin with a prefix."""
    part.load_state_dict(weights.load_all(part.state_dict().keys(), prefix, dtype, device), assign=True)


def write_weights(out: Path, target: PreTrainedModel, layers: Layers, weights: WeightsReader, earlier: int = 0) -> None:
    """Writes the safetensors of a model into the folder ``out``: given layers, all else as it was.

    A layer is on the disk when the next one is asked for.

    Args:
        out: The folder; empty, but for the file of an earlier run.
        target: The skeleton of the result, which says names, shapes and dtype.
        layers: Each layer as it is to be written, by number.
        weights: Where the tensors outside of the layers are.
        earlier: How many of the layers an earlier run has written, which do not come again.
    """
    dtype, state = target.dtype, untied_state(target)
    begun = tuple(LAYER_PREFIX.format(index) for index in range(earlier))
    with WeightsWriter(out / SINGLE, state, [name for name in state if name.startswith(begun)]) as writer:
        for index, layer in layers:
            for name, tensor in layer.state_dict().items():
                writer.write(
                    LAYER_PREFIX.format(index) + name, tensor.to(dtype) if tensor.is_floating_point() else tensor
                )
            writer.keep()
        for name in writer.missing():
            writer.write(name, weights.load(name, dtype))


def untied_state(model: PreTrainedModel) -> dict[str, Tensor]:
    """The tensors that a checkpoint of the model holds, by name: tied weights once."""
    tied = set(model.all_tied_weights_keys)
    return {name: tensor for name, tensor in model.state_dict().items() if name not in tied}
