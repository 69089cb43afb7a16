"""The layer loop: one decoder layer at a time over all calibration windows, weights streamed from disk.

It knows no method. Memory holds the layer at work and the inputs of that layer, never the model.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from lorap.core.statistics import Moments
from lorap.errors import LorapError
from lorap.methods.seen import Seen, Stream, Want
from lorap.model.family import decoder_layers, has, projection
from lorap.model.folder import open_weights
from lorap.model.layer_plan import READERS
from lorap.model.stream import stream_layers


class LayerLoop:
    """Streams the decoder layers of a model and carries the calibration windows through them.

    Args:
        model: The skeleton of the dense model, on the meta device.
        folder: Where its weights are.
        input_ids: (windows, tokens), the calibration windows.
        dtype: What weights and activations are computed in.
        device: Where a layer runs.
        batch: Windows that go through a layer at once.
        offload: Keep the inputs of a layer in the CPU's memory, for many windows and a small GPU.
        dense_stream: Also carry the activations of the dense model, which takes their memory once more.

    ``streams`` are the inputs of the layer at work: (windows, tokens, hidden).
    """

    def __init__(
        self,
        model: PreTrainedModel,
        folder: Path,
        input_ids: Tensor,
        dtype: torch.dtype,
        device: torch.device,
        batch: int,
        offload: bool = False,
        dense_stream: bool = False,
    ) -> None:
        self.model = copy.deepcopy(model)  # its layers are filled and changed, the caller's skeleton is not
        self.weights = open_weights(folder, model)
        self.dtype, self.device, self.batch = dtype, device, batch
        self.storage = torch.device("cpu") if offload else device
        self._vocabulary_fits(input_ids)
        hidden, self._arguments = self._embed(input_ids)
        self.streams: dict[Stream, Tensor] = {"compressed": hidden}
        if dense_stream:
            self.streams["dense"] = hidden.clone()

    def __len__(self) -> int:
        return len(decoder_layers(self.model))

    def __iter__(self) -> Iterator[tuple[int, nn.Module]]:
        """Each layer with its weights; they are dropped when the next one is asked for."""
        return stream_layers(self.model, self.weights, self.dtype, self.device)

    @torch.no_grad()
    def gather(self, index: int, layer: nn.Module, wants: Sequence[Want], seen: Seen) -> None:
        """Takes statistics of the layer's inputs; a forward pass stops at the last input that is wanted.

        Args:
            index: Number of the layer, for messages.
            layer: The layer, as much of it compressed as the wants say.
            wants: What is wanted, behind the same part of the layer.
            seen: Where it goes.

        Raises:
            LorapError: An activation is not finite.
        """
        if others := {want.stream for want in wants} - set(self.streams):
            raise ValueError(f"stream {min(others)}: is not carried; the part that wants it has to say dense_stream")
        first = {name: readers[0] for name, readers in READERS.items() if has(layer, readers[0])}
        readers = {name: projection(layer, reader) for name, reader in first.items()}
        features = {name: reader.in_features for name, reader in readers.items()}
        for stream in self.streams:
            chosen = [want for want in wants if want.stream == stream and want.input in readers]
            moments = seen.expect(chosen, features, self.device)
            self._watch(index, layer, stream, [(readers[name], moments[name]) for name in READERS if name in moments])
            fine = torch.stack([moment.is_finite() for moment in moments.values()]).tolist() if moments else []
            if not all(fine):
                name = list(moments)[fine.index(False)]
                raise LorapError(f"layer {index}: {name} holds values that are not finite in {self.dtype}; try float32")

    def _watch(
        self, index: int, layer: nn.Module, stream: Stream, watched: Sequence[tuple[nn.Module, Moments]]
    ) -> None:
        """Passes all windows of a stream through the layer, as far as the last of the projections that are watched."""
        with ExitStack() as hooks:
            for place, (reader, moments) in enumerate(watched, 1):
                record = partial(_record, moments, place == len(watched))
                hooks.callback(reader.register_forward_pre_hook(record).remove)
            for window in self._batches() if watched else ():
                with suppress(_Enough):
                    layer(self.streams[stream][window].to(self.device), **self._arguments[index])

    def window_outputs(self, index: int, layer: nn.Module, inputs: Tensor) -> Tensor:
        """The outputs of a layer for other inputs than the streams hold: (windows, tokens, hidden)."""
        outputs: Tensor = layer(inputs.to(self.device), **self._arguments[index])
        return outputs

    def scales(self, index: int, layer: nn.Module) -> dict[str, Tensor]:
        """d of every input of a layer (method.md, 3), by name."""
        seen = Seen()
        self.gather(index, layer, [Want(name, "squares") for name in READERS], seen)
        return {name: moments.scale() for (name, _, _), moments in seen.moments.items()}

    @torch.no_grad()
    def advance(self, index: int, layer: nn.Module, stream: Stream = "compressed", to_the_end: bool = False) -> None:
        """Replaces the inputs of a layer by its outputs, the inputs of the next one; the last layer's by request."""
        if stream not in self.streams or (index + 1 == len(self) and not to_the_end):
            return
        hidden = self.streams[stream]
        for window in self._batches():
            hidden[window] = layer(hidden[window].to(self.device), **self._arguments[index]).to(self.storage)

    def _batches(self) -> Iterator[slice]:
        for start in range(0, len(self.streams["compressed"]), self.batch):
            yield slice(start, start + self.batch)

    def _vocabulary_fits(self, input_ids: Tensor) -> None:
        size = self.model.config.vocab_size
        if int(input_ids.min()) < 0 or int(input_ids.max()) >= size:
            raise LorapError(
                f"calibration: ids up to {int(input_ids.max())}, but the model's vocabulary has {size}; "
                "make the file with this model's tokenizer"
            )

    @torch.no_grad()
    def _embed(self, input_ids: Tensor) -> tuple[Tensor, list[dict[str, Any]]]:
        """The inputs of the first layer, and the arguments that the model passes to every layer.

        The model itself is asked, with recorders in place of its layers, so masks, rotary tables and whatever a family
        adds are its own.
        """
        body = copy.deepcopy(self.model.model)
        body.embed_tokens.weight = nn.Parameter(
            self.weights.load("model.embed_tokens.weight", self.dtype, self.device), requires_grad=False
        )
        body.norm = nn.Identity()
        body.rotary_emb = type(body.rotary_emb)(config=body.config).to(self.device)
        body.layers = nn.ModuleList(_Recorder() for _ in body.layers)
        body(input_ids=input_ids[:1].to(self.device), use_cache=False)
        shape = (*input_ids.shape, body.embed_tokens.weight.shape[1])
        hidden = torch.empty(shape, dtype=self.dtype, device=self.storage)
        for start in range(0, len(input_ids), self.batch):
            window = slice(start, start + self.batch)
            hidden[window] = body.embed_tokens(input_ids[window].to(self.device))
        return hidden, [recorder.arguments for recorder in body.layers]


class _Recorder(nn.Module):
    """Stands where a layer was, and keeps the arguments that the layer would get."""

    def forward(self, hidden_states: Tensor, **arguments: Any) -> Tensor:
        self.arguments = arguments
        return hidden_states


class _Enough(Exception):
    """The last statistic of this batch is gathered; the rest of the layer need not run."""


def _record(moments: Moments, last: bool, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    moments.update(inputs[0])
    if last:
        raise _Enough
