"""The layer loop: one decoder layer at a time over all calibration windows, weights streamed from disk.

It knows no method. Memory holds the layer at work and the inputs of that layer, never the model.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from lorap.core.statistics import Moments
from lorap.errors import LorapError
from lorap.model.family import READERS, decoder_layers, projection
from lorap.model.folder import open_weights
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
    ) -> None:
        self.model = model
        self.weights = open_weights(folder, model)
        self.dtype, self.device, self.batch = dtype, device, batch
        self.storage = torch.device("cpu") if offload else device
        self._vocabulary_fits(model, input_ids)
        self.hidden, self._arguments = self._embed(model, input_ids)

    def __len__(self) -> int:
        return len(decoder_layers(self.model))

    def __iter__(self) -> Iterator[tuple[int, nn.Module]]:
        """Each layer with its weights; they are dropped when the next one is asked for."""
        return stream_layers(self.model, self.weights, self.dtype, self.device)

    @torch.no_grad()
    def gather(self, index: int, layer: nn.Module, needed: Mapping[str, str]) -> dict[str, Moments]:
        """Statistics of the layer's inputs; the forward pass stops at the last input that is needed.

        Args:
            index: Number of the layer, for messages.
            layer: The layer.
            needed: Kind of statistic (``scale`` or ``covariance``) by name of the input.

        Raises:
            LorapError: An activation is not finite.
        """
        moments, hooks = {}, []
        for name, kind in needed.items():
            reader = projection(layer, READERS[name][0])
            moments[name] = Moments(reader.in_features, kind == "covariance", self.device)
            last = name == list(needed)[-1]
            hooks.append(reader.register_forward_pre_hook(partial(_record, moments[name], last)))
        if needed:
            for window in self._batches():
                try:
                    layer(self.hidden[window].to(self.device), **self._arguments[index])
                except _Enough:
                    continue
        for hook in hooks:
            hook.remove()
        for name, moment in moments.items():
            if not moment.is_finite():
                raise LorapError(f"layer {index}: {name} holds values that are not finite in {self.dtype}; try float32")
        return moments

    def scales(self, index: int, layer: nn.Module) -> dict[str, Tensor]:
        """d of every input of a layer (method.md, 3), by name."""
        moments = self.gather(index, layer, dict.fromkeys(READERS, "scale"))
        return {name: moment.scale() for name, moment in moments.items()}

    @torch.no_grad()
    def advance(self, index: int, layer: nn.Module) -> None:
        """Replaces the inputs of a layer by its outputs, which are the inputs of the next one."""
        if index + 1 == len(self):
            return
        for window in self._batches():
            inputs = self.hidden[window].to(self.device)
            self.hidden[window] = layer(inputs, **self._arguments[index]).to(self.storage)

    def _batches(self) -> Iterator[slice]:
        for start in range(0, len(self.hidden), self.batch):
            yield slice(start, start + self.batch)

    def _vocabulary_fits(self, model: PreTrainedModel, input_ids: Tensor) -> None:
        size = model.config.vocab_size
        if int(input_ids.min()) < 0 or int(input_ids.max()) >= size:
            raise LorapError(
                f"calibration: ids up to {int(input_ids.max())}, but the model's vocabulary has {size}; "
                "make the file with this model's tokenizer"
            )

    @torch.no_grad()
    def _embed(self, model: PreTrainedModel, input_ids: Tensor) -> tuple[Tensor, list[dict[str, Any]]]:
        """The inputs of the first layer, and the arguments that the model passes to every layer.

        The model itself is asked, with its layers replaced by recorders, so masks, rotary tables and whatever a
        family adds are its own.
        """
        body = model.model
        body.embed_tokens.weight = nn.Parameter(
            self.weights.load("model.embed_tokens.weight", self.dtype, self.device), requires_grad=False
        )
        body.norm = nn.Identity()
        body.rotary_emb = type(body.rotary_emb)(config=model.config).to(self.device)
        layers, body.layers = body.layers, nn.ModuleList(_Recorder() for _ in body.layers)
        body(input_ids=input_ids[:1].to(self.device), use_cache=False)
        arguments = [recorder.arguments for recorder in body.layers]
        body.layers = layers
        shape = (*input_ids.shape, body.embed_tokens.weight.shape[1])
        hidden = torch.empty(shape, dtype=self.dtype, device=self.storage)
        for start in range(0, len(input_ids), self.batch):
            window = slice(start, start + self.batch)
            hidden[window] = body.embed_tokens(input_ids[window].to(self.device))
        body.embed_tokens.to("meta")
        return hidden, arguments


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
