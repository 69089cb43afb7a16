"""The layer loop: one decoder layer at a time over all calibration windows, weights streamed from disk.

It knows no method. Memory holds the layer at work and the inputs of that layer, never the model.
"""

import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from lorap.compression.entrance import entrance, require_known
from lorap.compression.passing import passing, token_weights
from lorap.compression.store import Store
from lorap.core.statistics import CROSSES, Moments
from lorap.errors import LorapError
from lorap.methods.seen import KEPT, Key, Seen, Stream, Want
from lorap.model.family import bias_of, decoder_layers, has, projection
from lorap.model.folder import open_weights
from lorap.model.layer_plan import READERS, SUBLAYER_OF
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
        store: Where the inputs of a layer are kept; None means on the device.
        dense_stream: Also carry the activations of the dense model, which takes their memory once more.
        measured: How many layers are measured on each stream, which need not pass those behind; None means all.

    ``streams`` are the inputs of the layer at work, (windows, tokens, hidden); ``kept`` inputs of its projections by
    stream and name, as they were when they were last asked for; ``token_weights``, (windows, tokens), how much each
    token counts behind the ``attention`` and behind the ``ffn``.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        folder: Path,
        input_ids: Tensor,
        dtype: torch.dtype,
        device: torch.device,
        batch: int,
        store: Store | None = None,
        dense_stream: bool = False,
        measured: Mapping[Stream, int] | None = None,
    ) -> None:
        self.model = copy.deepcopy(model)  # its layers are filled and changed, the caller's skeleton is not
        self._count = len(decoder_layers(self.model))
        self._measured = measured or {}
        self.weights = open_weights(folder, model)
        self.dtype, self.device, self.batch = dtype, device, batch
        self.store = store or Store(False, device)
        require_known(input_ids, self.model.config.vocab_size)
        hidden, self._arguments = entrance(self.model, self.weights, input_ids, dtype, device, batch, self.store)
        self.streams: dict[Stream, Tensor] = {"compressed": hidden}
        if dense_stream:
            self.streams["dense"] = self.store.keep(hidden)
        self.kept: dict[tuple[Stream, str], Tensor] = {}
        self.token_weights: dict[str, Tensor] = {}

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[int, nn.Module]]:
        """Each layer with its weights; they are dropped when the next one is asked for."""
        return stream_layers(self.model, self.weights, self.dtype, self.device)

    @torch.no_grad()
    def gather(
        self,
        index: int,
        layer: nn.Module,
        wants: Sequence[Want],
        seen: Seen,
        keep: Collection[tuple[Stream, str]] = (),
        onward: bool = False,
    ) -> None:
        """Takes statistics of the layer's inputs; a forward pass stops at the last input that is wanted.

        Args:
            index: Number of the layer, for messages.
            layer: The layer, as much of it compressed as the wants say.
            wants: What is wanted, behind the same part of the layer. Weighted ones and gaps need the dense stream,
                which has to have passed the layer already.
            seen: Where it goes.
            keep: Inputs, by stream and name, that are kept whole, in the place of those kept earlier: for a later
                ``before`` or ``counterpart``, or for ``settle_attention``.
            onward: Replace the inputs of the layer by its outputs in the same pass, where something is wanted.

        Raises:
            LorapError: An activation is not finite.
        """
        if others := {want.stream for want in wants} - set(self.streams):
            raise ValueError(f"stream {min(others)}: is not carried; say dense_stream")
        first = {name: readers[0] for name, readers in READERS.items() if has(layer, readers[0])}
        features = {name: projection(layer, reader).in_features for name, reader in first.items()}
        for stream in self.streams:
            moments = seen.expect((want for want in wants if want.stream == stream and want.input in first), features,
                                  self.device)  # fmt: skip
            kept = [name for of, name in keep if of == stream and name in first]
            self._watch(index, layer, stream, moments, kept, onward)
            fine = torch.stack([moment.is_finite() for moment in moments.values()]).tolist() if moments else []
            if not all(fine):
                name = list(moments)[fine.index(False)][0]
                raise LorapError(f"layer {index}: {name} holds values that are not finite in {self.dtype}; try float32")

    def _watch(
        self,
        index: int,
        layer: nn.Module,
        stream: Stream,
        moments: Mapping[Key, Moments],
        keep: Collection[str],
        onward: bool,
    ) -> None:
        """Passes all windows of a stream through the layer, as far as the last input that somebody wants, or on."""
        wanted = {key[0] for key in moments} | set(keep)
        names = [name for name in READERS if name in wanted]
        for window in self.batches() if names else ():
            inputs = self.streams[stream][window].to(self.device)
            seen = passing(layer, partial(self.window_outputs, index, layer, inputs), names, to_the_end=onward)
            for (name, _, _, weighted), moment in moments.items():
                others = {kind: self._other(kind, name, window, seen, layer) for kind in moment.kinds & CROSSES}
                weights = self.token_weights[SUBLAYER_OF[name]][window].to(self.device) if weighted else None
                moment.update(seen[name], weights, **others)
            for name in keep:
                self._keep(stream, name, window, seen[name])
            if onward:
                self.streams[stream][window] = seen["output"].to(self.store.device)

    def _keep(self, stream: Stream, name: str, window: slice, inputs: Tensor) -> None:
        if (stream, name) not in self.kept:
            shape = (len(self.streams[stream]), *inputs.shape[1:])
            self.kept[stream, name] = self.store.empty(shape, inputs.dtype)
        self.kept[stream, name][window, ..., : inputs.shape[-1]] = inputs.to(self.store.device)  # or fewer than before

    def _other(self, kind: str, name: str, window: slice, seen: Mapping[str, Tensor], layer: nn.Module) -> Tensor:
        """What an input is multiplied with: itself as it was kept, or what its reader has to add to the stream.

        A bias of the reader adds its part anyway.
        """
        if stream := KEPT.get(kind):
            return self.kept[stream, name][window].to(self.device)
        gap = self.streams["dense"][window].to(self.device) - seen["middle"]
        bias = bias_of(projection(layer, READERS[name][0]))
        return gap if bias is None else gap - bias

    def window_outputs(self, index: int, layer: nn.Module, inputs: Tensor) -> Tensor:
        """The outputs of a layer for other inputs than the streams hold: (windows, tokens, hidden)."""
        outputs: Tensor = layer(inputs.to(self.device), **self._arguments[index])
        return outputs

    def scales(self, index: int, layer: nn.Module) -> dict[str, Tensor]:
        """d of every input of a layer (method.md, 3), by name."""
        seen = Seen()
        self.gather(index, layer, [Want(name, "squares") for name in READERS], seen)
        return {key[0]: moments.scale() for key, moments in seen.moments.items()}

    @torch.no_grad()
    def advance(self, index: int, layer: nn.Module, stream: Stream = "compressed", to_the_end: bool = False) -> None:
        """Replaces the inputs of a layer by its outputs, the next one's inputs; the last measured one's by request.

        What passes of the dense stream says how much every token counts in weighted statistics.
        """
        if stream not in self.streams or (index + 1 >= self._measured.get(stream, len(self)) and not to_the_end):
            return
        hidden = self.streams[stream]
        weights: dict[str, list[Tensor]] = {"attention": [], "ffn": []}
        for window in self.batches():
            run = partial(self.window_outputs, index, layer, hidden[window].to(self.device))
            seen = passing(layer, run, (), to_the_end=True) if stream == "dense" else {"output": run()}
            hidden[window] = seen["output"].to(self.store.device)
            if stream == "dense":
                weights["attention"].append(token_weights(seen["middle"]).to(self.store.device))
                weights["ffn"].append(token_weights(seen["output"]).to(self.store.device))
        if stream == "dense":
            self.token_weights = {place: torch.cat(parts) for place, parts in weights.items()}

    def batches(self) -> Iterator[slice]:
        """The windows that pass at once, for all in turn."""
        for start in range(0, len(self.streams["compressed"]), self.batch):
            yield slice(start, start + self.batch)
