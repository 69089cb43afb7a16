"""How far a compression has come: a run that was cut short is gone on with at its next layer, with the same bytes."""

import copy
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from lorap.errors import LorapError
from lorap.files import read_json, write_json
from lorap.model.family import decoder_layers
from lorap.model.stream import fill_layer
from lorap.model.weights import SINGLE, WeightsReader

DONE = "done.json"  # what layers.json will say of the layers that are on the disk


class Progress:
    """The layers that are done, in the folder where the weights are written.

    Args:
        place: The folder; without what an earlier run left there nothing is done.
        target: The skeleton of the compressed model.
    """

    def __init__(self, place: Path, target: PreTrainedModel) -> None:
        self.place, self.target = place, target
        self.layers: list[dict[str, Any]] = _read(place / DONE) if (place / SINGLE).is_file() else []
        self.earlier = len(self.layers)
        self._weights = WeightsReader(place) if self.earlier else None

    def layer(self, index: int, dtype: torch.dtype, device: torch.device) -> nn.Module:
        """A layer as an earlier run has left it."""
        if self._weights is None:
            raise ValueError(f"layer {index}: no earlier run has done it")
        layer = copy.deepcopy(decoder_layers(self.target)[index])
        fill_layer(layer, index, self._weights, dtype, device)
        return layer

    def measured(self, layer: dict[str, Any]) -> None:
        """Takes what layers.json will say of the next layer."""
        self.layers.append(layer)

    def record(self, index: int) -> None:
        """Notes that the disk holds the layers up to this one."""
        write_json(self.place / DONE, self.layers[: index + 1])


def _read(file: Path) -> list[dict[str, Any]]:
    try:
        layers = read_json(file) if file.is_file() else []
    except LorapError:  # damaged; the layers are made again
        return []
    return layers if isinstance(layers, list) else []
