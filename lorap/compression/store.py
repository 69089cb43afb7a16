"""Where activations of all windows wait for the next layer: on the device, in the CPU's memory, or in files."""

import math
import mmap
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from lorap.errors import LorapError
from lorap.settings.schema import Offload


class Store:
    """Room for activations.

    Args:
        offload: False keeps them on the device, True in the CPU's memory, ``disk`` in files that are mapped into it,
            whose pages the system writes out and takes back when it needs the memory. The files have no name, so that
            nothing is left of them when the process ends, however it does.
        device: Where a layer runs.
        folder: Where the files are; None means the system's folder for temporary files.

    ``device`` is where the activations are.

    Raises:
        LorapError: The system cannot reserve room in a file, without which a full disk would kill the process.
    """

    def __init__(self, offload: Offload, device: torch.device, folder: Path | None = None) -> None:
        self.device = torch.device("cpu") if offload else device
        self._folder, self._mapped = folder or Path(tempfile.gettempdir()), offload == "disk"
        if self._mapped and not hasattr(os, "posix_fallocate"):
            raise LorapError("offload: 'disk' does not work on this system; use true, the CPU's memory")

    def empty(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Room for a tensor; what is in it does not matter.

        Raises:
            LorapError: The disk has too little.
        """
        if not self._mapped:
            return torch.empty(tuple(shape), dtype=dtype, device=self.device)
        size = math.prod(shape) * dtype.itemsize
        with tempfile.TemporaryFile(dir=self._folder) as file:
            try:
                os.posix_fallocate(file.fileno(), 0, size)
            except OSError as error:
                raise LorapError(
                    f"{self._folder}: no room for {size / 1e6:,.1f} MB of activations ({error.strerror}); "
                    "free space, or use fewer or shorter calibration windows"
                ) from error
            return torch.frombuffer(mmap.mmap(file.fileno(), size), dtype=dtype).view(tuple(shape))

    def keep(self, tensor: Tensor) -> Tensor:
        """A copy of a tensor."""
        return self.empty(tensor.shape, tensor.dtype).copy_(tensor)
