"""The device to work on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lorap.errors import LorapError

if TYPE_CHECKING:
    import torch


@contextmanager
def on_device(name: str, knob: str) -> "Iterator[torch.device]":
    """The device of a name, ``auto`` being CUDA where there is one.

    Args:
        name: As torch has it, or ``auto``.
        knob: The setting to lower when its memory runs out, for the message.

    Raises:
        LorapError: There is no such device, or its memory is too small.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device).cpu()  # the meta device has nothing to give back
    except (RuntimeError, AssertionError) as error:
        raise LorapError(f"--device {name}: not usable here ({str(error).splitlines()[0].split('. ')[0]})") from error
    try:
        yield device
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise LorapError(f"--device {name}: out of memory; lower {knob}") from error
