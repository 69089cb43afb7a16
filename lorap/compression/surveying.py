"""A survey of a dense model: what every piece of every layer loses when it gets smaller, and what that costs.

One pass over the calibration windows gives error curves (plus.md, 6). Beside it some windows run once for every layer
so far, pruned in that layer alone, and show at the end what an error there costs.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from lorap.artifacts.specs import SurveySpec
from lorap.compression.attention_metrics import attention_metrics
from lorap.compression.copies import Copies
from lorap.compression.few_tokens import warn_of_few_tokens
from lorap.compression.loop import LayerLoop
from lorap.compression.passing import passing, require_plain_stream, some_windows, token_weights
from lorap.compression.store import Store
from lorap.compression.survey_file import Surveyed
from lorap.core.joint import joint_spectrum, shrunk
from lorap.core.narrow import head_spaces
from lorap.core.statistics import Moments
from lorap.core.surgeon import remove
from lorap.errors import LorapError
from lorap.methods.narrow_heads import heads_of
from lorap.methods.seen import Want
from lorap.methods.solving import in_layer, solving
from lorap.model.family import layer_shapes, linear
from lorap.model.folder import DTYPES, read_config, skeleton
from lorap.model.layer_plan import LayerShape

INPUTS = ("attention_in", "attention_out", "ffn_hidden")
LEAST = 24  # an FFN's curve ends where one channel of so many is left


@torch.no_grad()
def survey_model(
    spec: SurveySpec,
    model: Path,
    input_ids: Tensor,
    device: torch.device,
    quiet: bool,
    beside: Path | None = None,
    unfinished: Path | None = None,
) -> list[dict[str, Tensor]]:
    """Error curves and weights of all layers.

    Args:
        spec: How they are measured.
        model: Folder of the dense model.
        input_ids: (windows, tokens), int64, the calibration windows.
        device: Where the layers run.
        quiet: No progress bar.
        beside: The folder for activations that are kept on the disk, see ``Store``.
        unfinished: A folder for what is found of each layer. What an earlier run, cut short, has left there must be of
            the same settings, model and windows; those layers are only passed.

    Returns:
        For each layer, errors relative to the residual stream behind it: ``ffn`` (points, 2), channels and the error
        with so many; ``vo`` (groups, d), what each dimension of each head carries; ``qk`` (most,), what each joint
        rank carries; and ``weight`` (), the divergence of the model's output for an error of 1.

    Raises:
        LorapError: The model cannot be read, ids do not fit, or activations are not finite.
    """
    if spec.survey.windows:
        input_ids = some_windows(input_ids, spec.survey.windows)
    config = read_config(model)
    config.dtype = DTYPES.get(spec.dtype) or config.dtype or torch.float32
    dense = skeleton(config)
    store = Store(spec.offload, device, beside)
    loop = LayerLoop(dense, model, input_ids, config.dtype, device, spec.at_once(), store)
    shape = layer_shapes(dense)
    wants = [Want(name, "gram", blocks=shape[0].heads if name == "attention_out" else 1) for name in INPUTS]
    warn_of_few_tokens(wants, shape[0], input_ids.numel())
    copies, surveyed = Copies(loop, spec.survey.pruned), Surveyed(unfinished)
    found = []
    for index, layer in tqdm(loop, total=len(loop), desc="survey", unit="layer", disable=quiet):
        before = copies.windows_of(loop.streams["compressed"])
        if not index:
            require_plain_stream(layer, partial(loop.window_outputs, index, layer), before[:1])
        seen = surveyed.layer(index)
        if seen is None:
            seen = _survey_layer(loop, index, layer, shape[index], spec)
            surveyed.record(index, seen)
        else:
            loop.advance(index, layer, to_the_end=True)
        copies.advance(index, layer, before, seen.pop("squares"))
        found.append(seen)
    for layer_curves, cost in zip(found, copies.costs(), strict=True):
        layer_curves["weight"] = cost
    return found


def _survey_layer(
    loop: LayerLoop, index: int, layer: nn.Module, shape: LayerShape, spec: SurveySpec
) -> dict[str, Tensor]:
    """The curves of a layer, and the weighted mean ``squares`` of its channels, (channels,); its windows pass it."""
    metrics = attention_metrics(loop, index, layer, spec.survey.metric_windows)
    moments, weight = _sweep(loop, index, layer, shape)
    if not all(bool(moment.is_finite()) for moment in moments.values()):
        raise LorapError(f"layer {index}: activations are not finite in {loop.dtype}; try float32")
    with in_layer(index):
        found = curves(layer, shape, moments, metrics, weight, spec)
    return found | {"squares": moments["ffn_hidden"].squares_of().cpu()}


def _sweep(loop: LayerLoop, index: int, layer: nn.Module, shape: LayerShape) -> tuple[dict[str, Moments], float]:
    """Carries all windows through a layer; the moments of its inputs, and the mean weight of a token in its middle."""
    sizes = {name: linear(layer, reader).in_features for name, reader in
             zip(INPUTS, ("q_proj", "o_proj", "down_proj"), strict=True)}  # fmt: skip
    blocks = {"attention_out": shape.heads}
    moments = {name: Moments(size, ["gram"], loop.device, blocks.get(name, 1)) for name, size in sizes.items()}
    stream, total = loop.streams["compressed"], torch.zeros((), device=loop.device)
    for window in loop.batches():
        inputs = stream[window].to(loop.device)
        seen = passing(layer, partial(loop.window_outputs, index, layer, inputs), INPUTS, to_the_end=True)
        weights = {"attention_out": token_weights(seen["middle"]), "ffn_hidden": token_weights(seen["output"])}
        for name, moment in moments.items():
            moment.update(seen[name], weights.get(name))
        total += weights["attention_out"].sum()
        stream[window] = seen["output"].to(loop.store.device)
    return moments, float(total) / stream[..., 0].numel()


def curves(
    layer: nn.Module,
    shape: LayerShape,
    moments: Mapping[str, Moments],
    metrics: Mapping[str, Tensor],
    weight: float,
    spec: SurveySpec,
) -> dict[str, Tensor]:
    """The error curves of a layer's pieces, see ``survey_model``; ``weight`` is the mean of its tokens'."""
    shrinkage, hidden = spec.survey.shrinkage, shape.sizes["gate_proj"][1]
    inputs = shrunk(moments["attention_in"].products_of(), shrinkage)
    joint = joint_spectrum([linear(layer, name).weight for name in metrics], list(metrics.values()), inputs)
    heads = shrunk(moments["attention_out"].products_of(), shrinkage)
    heads = heads.view(shape.kv_heads, -1, shape.head_dim, shape.head_dim)
    outputs = heads_of(linear(layer, "o_proj").weight, shape.kv_heads, shape.heads)
    down, gram = linear(layer, "down_proj").weight.float(), moments["ffn_hidden"].products_of()
    counts, lost = [shape.channels], [down.new_zeros(())]
    ridge, least = spec.survey.selection_ridge, max(1, shape.channels // LEAST)
    with solving("ffn_hidden", "selection_ridge", ridge):
        for step in remove(down, down @ gram, gram, ridge, least):
            counts.append(len(step.kept))
            lost.append(step.cost / hidden)
    return {
        "ffn": torch.stack([torch.tensor(counts, dtype=torch.float32), torch.stack(lost).cumsum(0).cpu()], 1),
        "vo": head_spaces(outputs, heads).values.float().cpu() / hidden,
        "qk": joint.float().cpu() * weight / hidden,
    }
