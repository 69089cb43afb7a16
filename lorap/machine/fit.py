"""Whether, and where, a model fits into memory: on one device, or spread over several GPUs."""

from collections.abc import Callable
from pathlib import Path

import torch
from transformers import PreTrainedModel

from lorap.errors import LorapError
from lorap.machine.free import free_memory
from lorap.machine.gpu import AUTO, are_dealt, leased
from lorap.machine.spread import Places, spread
from lorap.model.family import decoder_layers
from lorap.model.folder import read_config, skeleton
from lorap.model.layer_plan import Form
from lorap.model.stream import untied_state
from lorap.model.swap import multiply_out

MARGIN = 1.2  # times its weights is what a model takes at least, with activations and logits
GIB = 2**30
CPU = torch.device("cpu")

Place = torch.device | Places
Free = Callable[[torch.device], int]


def place_of(folder: Path, dtype: torch.dtype | None, device: torch.device, form: Form = "factored") -> Place | None:
    """Where a model can be whole: on the device, spread over several, or nowhere (None), as far as free memory tells.

    Args:
        folder: The model.
        dtype: Of its weights; None means the folder's.
        device: The one asked for. A GPU without a number stands for all that this process sees.
        form: ``dense`` where its factors are going to be multiplied out.
    """
    model, dtype = _outline(folder, dtype, form)
    return choose(model, dtype, device, reachable(device), 0, free_memory)


def choose(
    model: PreTrainedModel,
    dtype: torch.dtype,
    device: torch.device,
    others: list[torch.device],
    comfort: float,
    free: Free,
) -> Place | None:
    """The place of a skeleton's model: the decision alone, of what ``free`` says of each device.

    A model passes through the CPU's memory on its way, so none is larger than that. ``others`` are looked at only where
    ``device`` is not enough, since to ask a GPU is to open it.
    """
    needed = MARGIN * _bytes(model, dtype)
    if needed > free(CPU):
        return None
    here = free(device)
    if max(needed, comfort) <= here:
        return device
    room = {other: int(free(other) / MARGIN) for other in others} if len(others) > 1 else {}
    places = spread(model, dtype, room) if room else None
    if places and len(set(places.values())) > 1:
        return places
    return device if needed <= here else None


def require_place(
    folder: Path,
    dtype: torch.dtype | None,
    device: torch.device,
    form: Form = "factored",
    comfort: float = 0,
) -> Place:
    """The place of a model that the work needs whole.

    Args:
        folder: The model.
        dtype: Of its weights; None means the folder's.
        device: As for ``place_of``.
        form: As for ``place_of``.
        comfort: Bytes below which a model is rather spread than put on one GPU, if there are several.

    Raises:
        LorapError: There is none; it names what the model needs, what is free, and the way out.
    """
    model, dtype = _outline(folder, dtype, form)
    place = choose(model, dtype, device, reachable(device), comfort, free_memory)
    if place is not None:
        return place
    needed = MARGIN * _bytes(model, dtype)
    short = CPU if needed > free_memory(CPU) else device
    raise LorapError(
        f"{folder}: is larger than the free memory of {short}, {free_memory(short) / GIB:.1f} GiB, and this needs it "
        f"whole, at least {needed / GIB:.1f} GiB; {_way_out(short)}"
    )


def _way_out(short: torch.device) -> str:
    """What to do where a device is too small."""
    streams = "'lorap compress', and 'lorap evaluate' of perplexity and zeroshot, go layer by layer"
    if short.type != "cuda":
        return f"free some, or use a machine with more ({streams})"
    if leased() is not None:
        return f"this job has one GPU, with {AUTO}=cuda jobs use all, one job at a time ({streams})"
    if are_dealt():
        return f"torchrun gives each process one GPU, without it the model is spread over all ({streams})"
    return f"let it use more GPUs (--device cuda means all), a larger one, or --device cpu ({streams})"


def devices_of(place: Place) -> list[torch.device]:
    """The devices that a place is on."""
    names = [place] if isinstance(place, torch.device) else dict.fromkeys(place.values())
    return [torch.device(name) for name in names]


def reachable(device: torch.device) -> list[torch.device]:
    """The devices that a model may be spread over: all GPUs that this process sees, unless it was given one."""
    if str(device) != "cuda" or are_dealt():
        return [device]
    return [torch.device("cuda", index) for index in range(torch.cuda.device_count())]


def _outline(folder: Path, dtype: torch.dtype | None, form: Form) -> tuple[PreTrainedModel, torch.dtype]:
    """The skeleton of a model in the form that it is going to have, and the dtype of its weights."""
    config = read_config(folder)
    model = skeleton(config)
    if form == "dense":
        for layer in decoder_layers(model):
            multiply_out(layer)
    return model, dtype or config.dtype or torch.float32


def _bytes(model: PreTrainedModel, dtype: torch.dtype) -> int:
    return dtype.itemsize * sum(tensor.numel() for tensor in untied_state(model).values())
