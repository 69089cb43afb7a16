"""A model ready to be evaluated, with an adapter or without one."""

from pathlib import Path

import torch
from transformers import PreTrainedModel

from lorap.machine.fit import CPU, require_place
from lorap.machine.spread import settle
from lorap.model.folder import load_model
from lorap.tuning.adapter import require_base, tuned_form


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
    form = "factored" if adapter is None else tuned_form(adapter)
    place = require_place(folder, dtype, where, form) if where.type == "cuda" else where
    model = load_model(folder, dtype, CPU if isinstance(place, dict) else place, form)
    whole = model
    if adapter is not None:
        from lorap.tuning.lora import load_adapter  # peft takes a second to import, most models have no adapter

        whole = load_adapter(model, adapter)  # it answers like the model that it wraps
    if isinstance(place, dict):
        settle(model, place)
    return whole
