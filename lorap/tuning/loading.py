"""A model ready to be evaluated, with an adapter or without one."""

from pathlib import Path

import torch
from transformers import PreTrainedModel

from lorap.machine.fit import require_fit
from lorap.model.folder import load_model
from lorap.tuning.adapter import require_base, tuned_form


def load_tuned(
    folder: Path, adapter: Path | None, dtype: torch.dtype | None = None, device: torch.device | str = "cpu"
) -> PreTrainedModel:
    """A model ready to be evaluated, with an adapter where one is given, in the form that the adapter was tuned on.

    Raises:
        LorapError: One of the two cannot be read, or they do not belong together.
    """
    require_fit(folder, dtype, torch.device(device))
    if adapter is None:
        return load_model(folder, dtype, device)
    require_base(adapter, folder)
    from lorap.tuning.lora import load_adapter  # peft takes a second to import, most models have no adapter

    model = load_model(folder, dtype, device, tuned_form(adapter))
    return load_adapter(model, adapter)  # it answers like the model that it wraps
