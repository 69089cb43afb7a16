"""A model that stays on the disk while it is measured: its layers pass through memory one at a time."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from lorap.compression.loop import LayerLoop
from lorap.model.folder import read_config, skeleton
from lorap.model.stream import fill, untied_state


class Streamed:
    """A model in a folder of which memory holds one layer, and the activations of all windows.

    Args:
        folder: The model, dense or factored.
        dtype: To compute in; None means the folder's.
        device: Where a layer runs.
        quiet: No progress bar.

    Raises:
        LorapError: The folder cannot be read.
    """

    def __init__(self, folder: Path, dtype: torch.dtype | None, device: torch.device, quiet: bool) -> None:
        self.folder, self.device, self.quiet = folder, device, quiet
        self.config = read_config(folder)
        self.dtype = dtype or self.config.dtype or torch.float32
        self.config.dtype = self.dtype

    @torch.no_grad()
    def logits(self, windows: Tensor, batch: int) -> Iterator[Tensor]:
        """Next-token logits of every batch of windows in turn: (batch, tokens, vocabulary).

        The weights are read once, whatever the number of windows; activations are kept in the CPU's memory.
        """
        loop = LayerLoop(skeleton(self.config), self.folder, windows, self.dtype, self.device, batch, offload=True)
        for index, layer in tqdm(loop, total=len(loop), desc="layers", unit="layer", disable=self.quiet):
            loop.advance(index, layer, to_the_end=True)
        norm, head = loop.model.model.norm, loop.model.lm_head
        fill(norm, "model.norm.", loop.weights, self.dtype, self.device)
        if "lm_head.weight" in untied_state(loop.model):
            fill(head, "lm_head.", loop.weights, self.dtype, self.device)
        else:
            weight = loop.weights.load("model.embed_tokens.weight", self.dtype, self.device)
            head.load_state_dict({"weight": weight}, assign=True)
        for start in range(0, len(windows), batch):
            yield head(norm(loop.streams["compressed"][start : start + batch].to(self.device)))
