"""A sweep over the dense model that scores the units of all layers, for a share that spreads the budget by them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm
from transformers import PreTrainedConfig

from lorap.artifacts.specs import CompressSpec
from lorap.compression.few_tokens import warn_of_few_windows
from lorap.compression.gradients import backward
from lorap.compression.loop import LayerLoop
from lorap.compression.planning import Plan, plan_model
from lorap.compression.store import Store
from lorap.errors import LorapError
from lorap.methods.part import Worker
from lorap.methods.seen import Seen, Want
from lorap.model.family import layer_shapes
from lorap.model.folder import DTYPES, skeleton
from lorap.settings.method import Scores


def plan_for(
    spec: CompressSpec,
    model: Path,
    config: PreTrainedConfig,
    input_ids: Tensor | None,
    device: torch.device,
    quiet: bool,
    survey: Scores = (),
    beside: Path | None = None,
) -> Plan:
    """The plan of a model; after a sweep that scores its units where a part of the method asks for it.

    The configuration is given the dtype to compute in.

    Raises:
        LorapError: As ``score_units`` and ``plan_model``, or the dtype is none that lorap writes.
    """
    config.dtype = DTYPES.get(spec.dtype) or config.dtype or torch.float32
    if config.dtype not in DTYPES.values():
        raise LorapError(f"{model}: dtype {config.dtype}, expected one of {', '.join(DTYPES)}; choose one with --dtype")
    surveyed = spec.method.share.surveyed
    scores = survey if surveyed else ()
    if spec.method.swept and input_ids is not None and (scores or not surveyed):
        swept = score_units(spec, model, config, input_ids, device, quiet, beside)
        scores = [{**known, **found} for known, found in zip(scores, swept, strict=True)] if surveyed else swept
    return plan_model(config, spec.method, spec.sparsity, spec.form, scores)


@torch.no_grad()
def score_units(
    spec: CompressSpec,
    model: Path,
    config: PreTrainedConfig,
    input_ids: Tensor,
    device: torch.device,
    quiet: bool,
    beside: Path | None = None,
) -> Scores:
    """Scores of every layer's units, by the field of a plan that counts them.

    Args:
        spec: The method, and how it is computed.
        model: Folder of the dense model.
        config: Its configuration, with the dtype to compute in.
        input_ids: (windows, tokens), the calibration windows.
        device: Where the layers run.
        quiet: No progress bar.
        beside: The folder for activations that are kept on the disk, see ``Store``.

    Raises:
        LorapError: The model cannot be read, ids do not fit, or activations are not finite.
    """
    workers = spec.method.swept
    dense = skeleton(config)
    shape = layer_shapes(dense)[0]
    wants = [want for worker in workers for want in worker.wanted(shape, None)]
    if others := [want for want in wants if want != Want(want.input, want.kind)]:
        raise ValueError(f"{others[0]}: nothing is compressed in this sweep, so that there is one stream only")
    windows = spec.method.gradients
    warn_of_few_windows(windows, len(input_ids))
    store = Store(spec.offload, device, beside)
    input_ids = input_ids if wants else input_ids[: max(1, windows)]  # the others have nothing to say
    loop = LayerLoop(dense, model, input_ids, config.dtype or torch.float32, device, spec.at_once(), store)
    sweep = tqdm(loop, total=len(loop), desc="score", unit="layer", disable=quiet)
    scores: list[Mapping[str, Tensor]] = []
    seen_by_layer, inputs = [], []
    for index, layer in sweep:
        seen = Seen()
        if windows:
            seen_by_layer.append(seen)
            inputs.append(store.keep(loop.streams["compressed"][:windows]))
        if wants:
            loop.gather(index, layer, wants, seen, onward=True)
        else:
            loop.advance(index, layer)
            if not bool(loop.streams["compressed"].isfinite().all()):
                raise LorapError(f"layer {index}: output holds values that are not finite in {loop.dtype}; try float32")
        if not windows:
            scores.append(_scores(workers, layer, seen))
    for _, layer, gradients in backward(loop, input_ids[:windows], inputs, spec.method.squared_gradients):
        seen = seen_by_layer.pop()  # so that no layer's sums outlive its turn
        seen.gradients = gradients
        scores.insert(0, _scores(workers, layer, seen))
        gradients.clear()  # before those of the next layer are there
    return scores


def _scores(workers: Sequence[Worker], layer: nn.Module, seen: Seen) -> Mapping[str, Tensor]:
    found = [worker.scores(layer, seen) for worker in workers]
    return {field: values.cpu() for part in found for field, values in part.items()}
