"""A model ready to be evaluated, with an adapter or without one."""

from pathlib import Path

import torch
from transformers import PreTrainedModel

from lorap.artifacts.meta import meta_path, read_meta
from lorap.model.folder import load_model
from lorap.model.layer_plan import Form
from lorap.tuning.adapter import require_base


def load_tuned(
    folder: Path, adapter: Path | None, dtype: torch.dtype | None = None, device: torch.device | str = "cpu"
) -> PreTrainedModel:
    """A model ready to be evaluated, with an adapter where one is given, in the form that the adapter was tuned on.

    Raises:
        LorapError: One of the two cannot be read, or they do not belong together.
    """
    if adapter is None:
        return load_model(folder, dtype, device)
    require_base(adapter, folder)
    form: Form = read_meta(adapter)["spec"]["tune"]["form"] if meta_path(adapter).is_file() else "factored"
    from lorap.tuning.lora import load_adapter  # peft takes a second to import, most models have no adapter

    model = load_model(folder, dtype, device, form)
    return load_adapter(model, adapter)  # it answers like the model that it wraps
