"""Rewriting a model folder layer by layer: weights are read, changed and written without the model in memory."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from lorap.model.family import PROJECTIONS, decoder_layers, parent, projection
from lorap.model.modeling_lorap import LowRankLinear
from lorap.model.weights import SINGLE, WeightsReader, WeightsWriter

LAYER_PREFIX = "model.layers.{}."
Layers = Iterable[tuple[int, nn.Module]]


def stream_layers(
    model: PreTrainedModel, weights: WeightsReader, dtype: torch.dtype, device: torch.device
) -> Iterator[tuple[int, nn.Module]]:
    """Yields each decoder layer of a skeleton with its weights; they are dropped when the next one is asked for."""
    for index, layer in enumerate(decoder_layers(model)):
        names = layer.state_dict().keys()
        layer.load_state_dict(weights.load_all(names, LAYER_PREFIX.format(index), dtype, device), assign=True)
        yield index, layer
        layer.to("meta")


def write_weights(out: Path, target: PreTrainedModel, layers: Layers, weights: WeightsReader) -> None:
    """Writes the safetensors of a model into the folder ``out``: given layers, all else as it was.

    Args:
        out: An empty folder.
        target: The skeleton of the result, which says names, shapes and dtype.
        layers: Each layer as it is to be written, by number.
        weights: Where the tensors outside of the layers are.
    """
    dtype = target.dtype
    with WeightsWriter(out / SINGLE, untied_state(target)) as writer:
        for index, layer in layers:
            for name, tensor in layer.state_dict().items():
                writer.write(LAYER_PREFIX.format(index) + name, tensor.to(dtype))
        for name in writer.missing():
            writer.write(name, weights.load(name, dtype))


def untied_state(model: PreTrainedModel) -> dict[str, Tensor]:
    """The tensors that a checkpoint of the model holds, by name: tied weights once."""
    tied = set(model.all_tied_weights_keys)
    return {name: tensor for name, tensor in model.state_dict().items() if name not in tied}


@torch.no_grad()
def multiply_out(layer: nn.Module) -> None:
    """Replaces every pair of factors of a layer by the dense linear that they stand for, in place."""
    for name in PROJECTIONS:
        small = projection(layer, name)
        if isinstance(small, LowRankLinear):
            weight = small.left.weight.float() @ small.right.weight.float()
            set_linear(layer, name, weight.to(small.left.weight.dtype), small.left.bias)


def set_linear(layer: nn.Module, name: str, weight: Tensor, bias: Tensor | None) -> None:
    """Puts a dense linear with these tensors in the place of a projection."""
    with torch.device("meta"):
        dense = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
    dense.load_state_dict({"weight": weight} | ({} if bias is None else {"bias": bias}), assign=True)
    setattr(parent(layer, name), name, dense)


def set_factors(layer: nn.Module, name: str, left: Tensor, right: Tensor, bias: Tensor | None) -> None:
    """Puts a pair of factors, (out, k) and (k, in), in the place of a projection."""
    with torch.device("meta"):
        small = LowRankLinear(right.shape[1], left.shape[0], right.shape[0], bias is not None)
    tensors = {"left.weight": left, "right.weight": right} | ({} if bias is None else {"left.bias": bias})
    small.load_state_dict(tensors, assign=True)
    setattr(parent(layer, name), name, small)
