"""Some windows for every layer of a dense model, pruned in that layer alone: what an error there costs (plus.md, 6)."""

from functools import partial

import torch
from torch import Tensor, nn

from lorap.compression.loop import LayerLoop
from lorap.compression.passing import passing, some_windows, token_weights
from lorap.model.family import linear
from lorap.model.head import fill_head
from lorap.settings.schema import COPIES


class Copies:
    """Some windows, once as they are and once for every layer so far, pruned in that layer alone.

    Args:
        loop: The loop over the dense model.
        pruned: The fraction of a layer's channels that its copy goes without.
    """

    def __init__(self, loop: LayerLoop, pruned: float) -> None:
        self.loop, self.pruned = loop, pruned
        total, layers = len(loop.streams["compressed"]), len(loop)
        self.count = min(total, max(1, COPIES * total // layers))
        self.streams: list[Tensor] = []
        self.errors: list[Tensor] = []

    def windows_of(self, stream: Tensor) -> Tensor:
        """The chosen windows of a stream: (windows, tokens, hidden)."""
        return some_windows(stream, self.count)

    def advance(self, index: int, layer: nn.Module, inputs: Tensor, squares: Tensor) -> None:
        """Carries all copies through a layer, and adds one that lost this layer's least channels.

        Args:
            index: Number of the layer.
            layer: The dense layer.
            inputs: Of the chosen windows.
            squares: The weighted mean squares of the channels, (channels,).
        """
        loop = self.loop
        for copy in self.streams:
            copy[:] = loop.window_outputs(index, layer, copy).to(loop.store.device)
        run = partial(loop.window_outputs, index, layer, inputs)
        seen = passing(layer, run, ["ffn_hidden"], to_the_end=True)
        down = linear(layer, "down_proj").weight
        sizes = squares.to(loop.device).sqrt() * down.float().norm(dim=0)
        gone = sizes.argsort(stable=True)[: max(1, int(self.pruned * len(sizes)))]
        lost = seen["ffn_hidden"][..., gone] @ down[:, gone].T
        self.errors.append((lost.float().square().mean(-1) * token_weights(seen["output"])).mean())
        self.streams.append(loop.store.keep(seen["output"] - lost))

    def costs(self) -> list[Tensor]:
        """The divergence of the outputs from the dense model's for each layer's copy, for an error of 1: () each."""
        loop = self.loop
        head = fill_head(loop.model, loop.weights, loop.dtype, loop.device)
        sums = torch.zeros(len(self.streams), device=loop.device)
        for number, window in enumerate(self.windows_of(loop.streams["compressed"])):
            usual = head(window[None, ::2].to(loop.device)).float().log_softmax(-1)
            for place, stream in enumerate(self.streams):
                changed = head(stream[number : number + 1, ::2].to(loop.device)).float().log_softmax(-1)
                sums[place] += (usual.exp() * (usual - changed)).sum(-1).mean()
        head.to("meta")
        means = sums / self.count
        return [(mean / error).cpu() for mean, error in zip(means, self.errors, strict=True)]
