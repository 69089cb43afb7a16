"""A model that stays on the disk while it is measured: its layers pass through memory one at a time."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm
from transformers import PreTrainedModel

from lorap.compression.loop import LayerLoop
from lorap.compression.store import Store
from lorap.machine.fit import place_of
from lorap.model.folder import open_weights, read_config, skeleton
from lorap.model.head import fill_head
from lorap.tuning.adapter import tuned_form
from lorap.tuning.loading import layer_tuner, load_tuned


class Streamed:
    """A model in a folder of which memory holds one layer, and the activations of all windows.

    Args:
        folder: The model, dense or factored.
        dtype: To compute in; None means the folder's.
        device: Where a layer runs.
        quiet: No progress bar.
        adapter: An adapter beside it.

    Raises:
        LorapError: The folder or the adapter cannot be read, or they do not belong together.
    """

    def __init__(
        self, folder: Path, dtype: torch.dtype | None, device: torch.device, quiet: bool, adapter: Path | None = None
    ) -> None:
        self.folder, self.device, self.quiet = folder, device, quiet
        self.config = read_config(folder)
        self.dtype = dtype or self.config.dtype or torch.float32
        self.config.dtype = self.dtype
        self._tune = layer_tuner(folder, adapter)

    def logits(self, windows: Tensor, batch: int) -> Iterator[Tensor]:
        """Next-token logits of every batch of windows in turn: (batch, tokens, vocabulary).

        The weights are read once, whatever the number of windows; activations are kept in the CPU's memory.
        """
        (outputs,) = self.outputs([windows], batch)
        head = self.head()
        for start in range(0, len(windows), batch):
            with torch.no_grad():
                yield head(outputs[start : start + batch].to(self.device))

    @torch.no_grad()
    def outputs(self, groups: Sequence[Tensor], batch: int) -> list[Tensor]:
        """What the last layer makes of groups of windows, (windows, tokens) each, in the CPU's memory.

        Every layer is read once and sees all of them, ``batch`` windows at a time.

        Returns:
            For each group (windows, tokens, hidden), which ``head`` turns into logits.
        """
        model, store = skeleton(self.config), Store(True, self.device)
        loops = [LayerLoop(model, self.folder, ids, self.dtype, self.device, batch, store) for ids in groups]
        for index, layer in tqdm(loops[0], total=len(loops[0]), desc="layers", unit="layer", disable=self.quiet):
            self._tune(index, layer)
            for loop in loops:
                loop.advance(index, layer, to_the_end=True)
        return [loop.streams["compressed"] for loop in loops]

    def head(self) -> nn.Module:
        """What is behind the last layer: (..., hidden) to logits, (..., vocabulary)."""
        model = skeleton(self.config)
        return fill_head(model, open_weights(self.folder, model), self.dtype, self.device)


def open_model(
    folder: Path, adapter: Path | None, dtype: torch.dtype | None, device: torch.device, quiet: bool
) -> PreTrainedModel | Streamed:
    """A model to ask for logits: whole where there is room for it, else streamed.

    Raises:
        LorapError: Model or adapter cannot be read, or do not belong together.
    """
    if place_of(folder, dtype, device, tuned_form(adapter)) is None:
        return Streamed(folder, dtype, device, quiet, adapter)
    return load_tuned(folder, adapter, dtype, device)
