"""Compression of a whole model: the published order of work (method.md, 2), any method."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from lorap.artifacts.names import LAYERS
from lorap.compression.loop import LayerLoop
from lorap.compression.planning import Plan, plan_model
from lorap.errors import LorapError
from lorap.files import write_json
from lorap.methods import Recipe
from lorap.model.family import linear
from lorap.model.folder import DTYPES, read_config, write_companions
from lorap.model.stream import multiply_out, write_weights


def compress(
    model: Path,
    input_ids: Tensor,
    recipe: Recipe,
    out: Path,
    *,
    form: str = "factored",
    dtype: torch.dtype | None = None,
    device: torch.device,
    batch: int = 16,
    offload: bool = False,
    quiet: bool = False,
) -> Plan:
    """Compresses a model folder into another one.

    Args:
        model: Folder of the dense model.
        input_ids: (windows, tokens), int64, the calibration windows.
        recipe: The method at its sparsity.
        out: The empty folder to fill.
        form: ``factored`` or ``dense`` (factors multiplied out).
        dtype: Of computation and result; None keeps the model's.
        device: Where the layers run.
        batch: Calibration windows a forward pass.
        offload: Keep the inputs of a layer in the CPU's memory.
        quiet: No progress bar.

    Raises:
        LorapError: The model cannot be read or is not supported, ids do not fit, or activations are not finite.
    """
    config = read_config(model)
    dtype = dtype or config.dtype or torch.float32
    if dtype not in DTYPES.values():
        raise LorapError(f"{model}: dtype {dtype}, expected one of {', '.join(DTYPES)}; choose one with --dtype")
    config.dtype = dtype
    plan = plan_model(config, recipe, form)
    loop = LayerLoop(plan.dense, model, input_ids, dtype, device, batch, offload)
    errors: list[dict[str, float]] = []

    def compressed_layers() -> Iterator[tuple[int, nn.Module]]:
        for index, layer in tqdm(loop, total=len(loop), desc="compress", unit="layer", disable=quiet):
            errors.append(compress_layer(loop, index, layer, plan, recipe))
            if form == "dense":
                multiply_out(layer)
            yield index, layer

    write_weights(out, plan.compressed, compressed_layers(), loop.weights)
    write_companions(model, out, plan.compressed.config)
    layers = [layer.as_dict() | {"errors": error} for layer, error in zip(plan.layers, errors, strict=True)]
    write_json(out / LAYERS, layers)
    return plan


@torch.no_grad()
def compress_layer(loop: LayerLoop, index: int, layer: nn.Module, plan: Plan, recipe: Recipe) -> dict[str, float]:
    """Statistics through the dense layer, compression, then the compressed layer's outputs for the next one.

    Returns:
        The weighted relative error of every projection that changed.
    """
    needed = recipe.statistics(plan.layers[index], linear(layer, "gate_proj").weight.shape[0])
    moments = loop.gather(index, layer, needed)
    try:
        errors = recipe.apply(layer, plan.layers[index], moments)
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        raise LorapError(f"layer {index}: cannot be factorised ({error}); try --dtype float32") from error
    loop.advance(index, layer)
    return errors
