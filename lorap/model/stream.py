"""Rewriting a model folder layer by layer: weights are read, changed and written without the model in memory."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from lorap.model.family import decoder_layers
from lorap.model.weights import SINGLE, WeightsReader
from lorap.model.writer import WeightsWriter

LAYER_PREFIX = "model.layers.{}."
Layers = Iterable[tuple[int, nn.Module]]
T = TypeVar("T")


def stream_layers(
    model: PreTrainedModel, weights: WeightsReader, dtype: torch.dtype, device: torch.device
) -> Iterator[tuple[int, nn.Module]]:
    """Yields each decoder layer of a skeleton with its weights; they are dropped when the next one is asked for.

    For a GPU the next layer is read into pinned memory while this one is worked on.
    """
    layers = decoder_layers(model)
    pinned = device.type == "cuda" and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    reads = [partial(_read, layer, LAYER_PREFIX.format(index), weights, pinned) for index, layer in enumerate(layers)]
    read = in_advance(reads) if device.type == "cuda" else (one() for one in reads)
    for (index, layer), tensors in zip(enumerate(layers), read, strict=True):
        placed = weights.place(tensors, LAYER_PREFIX.format(index), dtype, device)
        layer.load_state_dict(placed, assign=True)
        yield index, layer
        layer.to("meta")


def in_advance(jobs: Sequence[Callable[[], T]]) -> Iterator[T]:
    """The results of jobs in turn; while one is used, the next is made in a thread."""
    with ThreadPoolExecutor(1) as thread:
        ahead = thread.submit(jobs[0])
        for job in jobs[1:]:
            done, ahead = ahead.result(), thread.submit(job)
            yield done
        yield ahead.result()


def fill_layer(layer: nn.Module, index: int, weights: WeightsReader, dtype: torch.dtype, device: torch.device) -> None:
    """Gives a layer of a skeleton its weights."""
    fill(layer, LAYER_PREFIX.format(index), weights, dtype, device)


def fill(part: nn.Module, prefix: str, weights: WeightsReader, dtype: torch.dtype, device: torch.device) -> None:
    """Gives a part of a skeleton its weights, whose names begin with a prefix."""
    part.load_state_dict(weights.place(_read(part, prefix, weights), prefix, dtype, device), assign=True)


def _read(part: nn.Module, prefix: str, weights: WeightsReader, pinned: bool = False) -> dict[str, Tensor]:
    return {name: weights.read(prefix + name, pinned) for name in part.state_dict()}


def write_weights(
    out: Path,
    target: PreTrainedModel,
    layers: Layers,
    weights: WeightsReader,
    earlier: int = 0,
    written: Callable[[int], None] = lambda index: None,
) -> None:
    """Writes the safetensors of a model into the folder ``out``: given layers, all else as it was.

    A layer is written in a thread while the next one is made.

    Args:
        out: The folder; empty, but for the file of an earlier run.
        target: The skeleton of the result, which says names, shapes and dtype.
        layers: Each layer as it is to be written, by number.
        weights: Where the tensors outside of the layers are.
        earlier: How many of the layers an earlier run has written, which do not come again.
        written: Called with the number of each layer that the disk holds.
    """
    state = untied_state(target)
    begun = tuple(LAYER_PREFIX.format(index) for index in range(earlier))
    kept = [name for name in state if name.startswith(begun)]
    with WeightsWriter(out / SINGLE, state, kept) as writer, ThreadPoolExecutor(1) as thread:

        def write(index: int, tensors: dict[str, Tensor]) -> None:
            for name, tensor in tensors.items():
                writer.write(name, tensor)
            writer.keep()
            written(index)

        before: Future[None] | None = None
        for index, layer in layers:
            tensors = _as_written(layer, LAYER_PREFIX.format(index), target.dtype)
            if before:
                before.result()
            before = thread.submit(write, index, tensors)
        if before:
            before.result()
        for name in writer.missing():
            writer.write(name, weights.load(name, target.dtype))


def _as_written(layer: nn.Module, prefix: str, dtype: torch.dtype) -> dict[str, Tensor]:
    """The tensors of a layer by their full names, on the CPU."""
    return {
        prefix + name: (tensor.to(dtype) if tensor.is_floating_point() else tensor).detach().cpu()
        for name, tensor in layer.state_dict().items()
    }


def untied_state(model: PreTrainedModel) -> dict[str, Tensor]:
    """The tensors that a checkpoint of the model holds, by name: tied weights once."""
    tied = set(model.all_tied_weights_keys)
    return {name: tensor for name, tensor in model.state_dict().items() if name not in tied}
