"""A model ready to be evaluated, whole or layer by layer, with an adapter or without one."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel

from lorap.machine.fit import CPU, require_place
from lorap.machine.spread import settle
from lorap.model.folder import load_model, read_config, skeleton
from lorap.model.swap import multiply_out
from lorap.tuning.adapter import read_adapter, require_base, tuned_form


def load_tuned(
    folder: Path, adapter: Path | None, dtype: torch.dtype | None = None, device: torch.device | str = "cpu"
) -> PreTrainedModel:
    """A model ready to be evaluated, with an adapter where one is given, in the form that the adapter was tuned on.

    One that does not fit onto a GPU is spread over all that this process sees.

    Raises:
        LorapError: One of the two cannot be read, they do not belong together, or no GPU has room.
    """
    where = torch.device(device)
    if adapter is not None:
        require_base(adapter, folder)
    form = tuned_form(adapter)
    place = require_place(folder, dtype, where, form) if where.type == "cuda" else where
    model = load_model(folder, dtype, CPU if isinstance(place, dict) else place, form)
    whole = model
    if adapter is not None:
        from lorap.tuning.lora import load_adapter  # peft takes a second to import, most models have no adapter

        whole = load_adapter(model, adapter)  # it answers like the model that it wraps
    if isinstance(place, dict):
        settle(model, place)
    return whole


def layer_tuner(folder: Path, adapter: Path | None) -> Callable[[int, nn.Module], None]:
    """What makes each layer of a streamed model, by number and with its weights, ready to be evaluated in place.

    Raises:
        LorapError: Model or adapter cannot be read, or they do not belong together.
    """
    if adapter is None:
        return lambda index, layer: None
    require_base(adapter, folder)
    form, matrices = tuned_form(adapter), read_adapter(adapter, skeleton(read_config(folder)))

    def tune(index: int, layer: nn.Module) -> None:
        from lorap.tuning.lora import put_beside

        if form == "dense":
            multiply_out(layer)
        put_beside(layer, index, matrices)

    return tune
