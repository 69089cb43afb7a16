"""Compression of a whole model: the published order of work (method.md, 2), any method."""

from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm
from transformers import PreTrainedModel

from lorap.errors import LorapError
from lorap.files import write_json
from lorap.layers import LAYER_PREFIX, LayerLoop
from lorap.methods import Recipe
from lorap.models.adapter import PROJECTIONS, linear, parent, projection
from lorap.models.folder import DTYPES, read_config, write_companions
from lorap.models.modeling_lorap import LowRankLinear
from lorap.models.weights import SINGLE, WeightsWriter
from lorap.plan import Plan, plan_model

LAYERS_FILE = "layers.json"


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
    target = untied_state(plan.compressed, dtype)
    loop = LayerLoop(plan.dense, model, input_ids, dtype, device, batch, offload)
    errors = []
    with WeightsWriter(out / SINGLE, target) as writer:
        for index, layer in tqdm(loop, total=len(loop), desc="compress", unit="layer", disable=quiet):
            errors.append(compress_layer(loop, index, layer, plan, recipe))
            if form == "dense":
                multiply_out(layer)
            for name, tensor in layer.state_dict().items():
                writer.write(LAYER_PREFIX.format(index) + name, tensor)
        for name in writer.missing():
            writer.write(name, loop.weights.load(name, dtype))
    write_companions(model, out, plan.compressed.config)
    layers = [layer.as_dict() | {"errors": error} for layer, error in zip(plan.layers, errors, strict=True)]
    write_json(out / LAYERS_FILE, layers)
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


@torch.no_grad()
def multiply_out(layer: nn.Module) -> None:
    """Replaces every pair of factors of a layer by the dense linear that they stand for, in place."""
    for name in PROJECTIONS:
        small = projection(layer, name)
        if isinstance(small, LowRankLinear):
            setattr(parent(layer, name), name, _dense(small))


def _dense(small: LowRankLinear) -> nn.Linear:
    weight = small.left.weight.float() @ small.right.weight.float()
    tensors = {"weight": weight.to(small.left.weight.dtype)}
    if small.left.bias is not None:
        tensors["bias"] = small.left.bias
    with torch.device("meta"):
        dense = nn.Linear(small.in_features, small.out_features, small.left.bias is not None)
    dense.load_state_dict(tensors, assign=True)
    return dense


def untied_state(model: PreTrainedModel, dtype: torch.dtype) -> dict[str, Tensor]:
    """The tensors that a checkpoint of the model holds, by name: tied weights once."""
    tied = set(model.all_tied_weights_keys)
    return {name: tensor.to(dtype) for name, tensor in model.state_dict().items() if name not in tied}
