"""Which channels of an FFN matter (method.md, 7)."""

import torch
from torch import Tensor

from lorap.core.budget import removed_slice


def channel_scores(gate: Tensor, up: Tensor, down: Tensor, input_scale: Tensor, hidden_scale: Tensor) -> Tensor:
    """The importance of each channel: (channels,), float32.

    Args:
        gate: (channels, in), and ``up`` of the same shape.
        down: (out, channels).
        input_scale: (in,), L2 norm of each input feature over the calibration tokens.
        hidden_scale: (channels,), the same for the input of ``down``.
    """
    rows = [torch.linalg.vector_norm(weight.float() * input_scale, dim=1) for weight in (gate, up)]
    columns = torch.linalg.vector_norm(down.float(), dim=0) * hidden_scale
    return rows[0] + rows[1] + columns


def kept_units(scores: Tensor, count: int, keep_least: float = 0) -> Tensor:
    """Indices of the ``count`` units with the highest scores, channels or heads, ascending: (count,), int64.

    The ``keep_least`` fraction at the bottom stays too, as far as there is room for it.
    """
    removed = removed_slice(len(scores), len(scores) - count, keep_least)
    stays = torch.ones(len(scores), dtype=torch.bool, device=scores.device)
    stays[scores.argsort(stable=True)[removed.start : removed.stop]] = False
    return stays.nonzero().squeeze(1)
