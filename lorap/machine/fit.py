"""Whether a model fits into the memory of a device."""

from pathlib import Path

import torch

from lorap.errors import LorapError
from lorap.machine.free import free_memory
from lorap.model.folder import read_config, skeleton
from lorap.model.stream import untied_state

MARGIN = 1.2  # times its weights is what a model takes at least, with activations and logits


def fits(folder: Path, dtype: torch.dtype | None, device: torch.device) -> bool:
    """Whether a model can be loaded whole onto a device, as far as free memory tells."""
    config = read_config(folder)
    state = untied_state(skeleton(config)).values()
    size = (dtype or config.dtype or torch.float32).itemsize
    needed = MARGIN * size * sum(tensor.numel() for tensor in state)
    host = free_memory(torch.device("cpu"))
    return needed <= min(host, free_memory(device))


def require_fit(folder: Path, dtype: torch.dtype | None, device: torch.device) -> None:
    """Raises a LorapError, with the way out, where a model does not fit onto a GPU and the work needs it whole."""
    if device.type == "cuda" and not fits(folder, dtype, device):
        raise LorapError(
            f"{folder}: is larger than the free memory of {device}, and this needs it whole; choose a larger device or "
            "--device cpu ('lorap compress' and 'lorap evaluate perplexity' read any model layer by layer)"
        )
