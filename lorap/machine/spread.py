"""A model over several GPUs, by accelerate: which of its parts goes where, and hooks that hand activations on."""

from collections.abc import Mapping

import torch
from accelerate import dispatch_model, infer_auto_device_map
from accelerate.utils import get_balanced_memory
from transformers import PreTrainedModel

from lorap.model.family import decoder_layers

Places = dict[str, str]  # the device of each part of a model, by the part's name; a layer is in one piece


def spread(model: PreTrainedModel, dtype: torch.dtype, room: Mapping[torch.device, int]) -> Places | None:
    """Where each part of a model goes, as evenly as the room on the GPUs allows.

    Args:
        model: Its skeleton.
        dtype: Of its weights.
        room: Bytes for weights on each GPU, numbered from 0.

    Returns:
        None where the GPUs are too small together.
    """
    devices = list(room)
    numbered = {number: room[device] for number, device in enumerate(devices)}
    whole = [type(decoder_layers(model)[0]).__name__]
    even = get_balanced_memory(model, dict(numbered), whole, dtype)
    for memory in (even, numbered):  # an even share may be too much for a small one among large ones
        found = infer_auto_device_map(model, dict(memory), whole, dtype)
        if all(number in numbered for number in found.values()):
            return {part: str(devices[number]) for part, number in found.items()}
    return None


def settle(model: PreTrainedModel, places: Places) -> None:
    """Moves the parts of a model from the CPU to their devices, between which it then hands its activations on.

    What it answers is on the device of its first part, where it takes its inputs.
    """
    dispatch_model(model, places, main_device=next(iter(places.values())), skip_keys="past_key_values")
