"""The device to work on."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lorap.errors import LorapError
from lorap.machine.gpu import AUTO, VISIBLE, leased

if TYPE_CHECKING:
    import torch


@contextmanager
def on_device(name: str, knob: str) -> "Iterator[torch.device]":
    """The device of a name, its arithmetic pinned (``machine.arithmetic``).

    Args:
        name: As torch has it, or ``auto``, see ``automatic``.
        knob: The setting to lower when its memory runs out, for the message.

    Raises:
        LorapError: There is no such device, or its memory is too small.
    """
    import torch

    from lorap.machine.arithmetic import pin
    from lorap.machine.heap import keep_freed

    name = automatic() if name == "auto" else name
    try:
        device = torch.device(name)
        torch.empty(0, device=device).cpu()  # the meta device has nothing to give back
    except (RuntimeError, AssertionError) as error:
        raise LorapError(f"--device {name}: not usable here ({str(error).splitlines()[0].split('. ')[0]})") from error
    pin(device)
    if device.type == "cpu":
        keep_freed()
    try:
        yield device
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise LorapError(f"--device {name}: out of memory; lower {knob}") from error


def automatic() -> str:
    """What ``auto`` means: LORAP_DEVICE, else the GPU of this process where there is one, else the CPU.

    Raises:
        LorapError: This job holds a GPU that torch cannot use; the CPU would take a hundred times as long.
    """
    import torch

    if chosen := os.environ.get(AUTO):
        return chosen
    if torch.cuda.is_available():
        return f"cuda:{os.environ['LOCAL_RANK']}" if "LOCAL_RANK" in os.environ else "cuda"
    if (held := leased()) is not None:
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
        raise LorapError(
            f"--device auto: this job holds GPU {held}, but torch {torch.__version__}, {built}, finds none with "
            f"{VISIBLE}={os.environ.get(VISIBLE)}; check the driver and the id, or set {AUTO}=cpu"
        )
    return "cpu"
