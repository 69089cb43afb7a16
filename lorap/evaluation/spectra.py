"""How low-rank the weights are in the eyes of their inputs, by depth: the claim of the paper's title."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from lorap.compression.loop import LayerLoop
from lorap.core.factorise import spectrum
from lorap.errors import LorapError
from lorap.model.family import linear
from lorap.model.folder import read_config, skeleton
from lorap.model.layer_plan import INPUT_OF, PROJECTIONS
from lorap.model.modeling_lorap import LorapConfig

POINTS = 33  # of every cumulative curve, from rank 0 to full rank


@torch.no_grad()
def measure_spectra(model: Path, input_ids: Tensor, device: torch.device, batch: int, quiet: bool) -> dict[str, Any]:
    """Cumulative energy of the singular values of W diag(d) for every projection of a dense model.

    Args:
        model: Folder of the dense model.
        input_ids: (windows, tokens), int64.
        device: Where the layers run.
        batch: Windows a forward pass.
        quiet: No progress bar.

    Returns:
        ``rank_fractions``, the abscissae; ``layers``, for each one the energy held at those ranks, by projection.

    Raises:
        LorapError: The model is factored or cannot be read, or the windows do not fit it.
    """
    config = read_config(model)
    if isinstance(config, LorapConfig):
        raise LorapError(f"{model}: is a factored model, its spectra are cut off; measure the original")
    loop = LayerLoop(skeleton(config), model, input_ids, config.dtype or torch.float32, device, batch)
    layers = []
    for index, layer in tqdm(loop, total=len(loop), desc="spectra", unit="layer", disable=quiet):
        scales = loop.scales(index, layer)
        layers.append({n: held_energy(linear(layer, n).weight, scales[INPUT_OF[n]]) for n in PROJECTIONS})
        loop.advance(index, layer)
    return {"rank_fractions": torch.linspace(0, 1, POINTS).tolist(), "layers": layers}


def held_energy(weight: Tensor, scale: Tensor) -> list[float]:
    """Share of ||W diag(d)||^2 that the best approximation of each rank holds, at evenly spaced ranks."""
    energy = spectrum(weight, scale).square()
    held = torch.cat([energy.new_zeros(1), energy.cumsum(0)]) / energy.sum()
    ranks = torch.linspace(0, len(energy), POINTS).round().long()
    return [round(value, 6) for value in held[ranks.to(held.device)].tolist()]
