"""Compression of a whole model: the published order of work (method.md, 2), any method."""

from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from lorap.artifacts.names import LAYERS
from lorap.artifacts.specs import CompressSpec
from lorap.compression.attention_metrics import attention_metrics
from lorap.compression.few_tokens import warn_of_few_tokens
from lorap.compression.joint_errors import attention_modules, joint_errors
from lorap.compression.loop import LayerLoop
from lorap.compression.loss import Errors, layer_errors
from lorap.compression.passing import require_plain_stream, restore_attention
from lorap.compression.planning import Plan
from lorap.compression.progress import DONE, Progress
from lorap.compression.scoring import plan_for
from lorap.compression.settling import settle_attention
from lorap.compression.store import Store
from lorap.methods.seen import Behind, Seen, Stream, Want
from lorap.methods.solving import in_layer, tell_of_floors
from lorap.model.family import linear
from lorap.model.folder import read_config, write_companions
from lorap.model.layer_plan import PROJECTIONS, READERS, SUBLAYER_OF
from lorap.model.padding import pad_layer
from lorap.model.stream import write_weights
from lorap.model.swap import multiply_out
from lorap.model.weights import SINGLE
from lorap.settings.method import Method, Scores

OF_ATTENTION = {name for name, sublayer in SUBLAYER_OF.items() if sublayer == "attention"}
OF_FFN = set(READERS) - OF_ATTENTION


def compress(
    spec: CompressSpec,
    model: Path,
    input_ids: Tensor,
    out: Path,
    device: torch.device,
    quiet: bool = False,
    unfinished: Path | None = None,
    survey: Scores = (),
) -> Plan:
    """Compresses a model folder into another one.

    Args:
        spec: The method at its sparsity, and how it is computed and stored.
        model: Folder of the dense model.
        input_ids: (windows, tokens), int64, the calibration windows.
        out: The empty folder to fill; activations that are kept on the disk are beside it.
        device: Where the layers run.
        quiet: No progress bar.
        unfinished: A folder on the same disk for the weights while they are written. What an earlier run, cut short,
            has left there must be of the same settings, model and windows; factors are gone on with at the next layer.
        survey: Of the model with these windows, where the method's share asks for one.

    Raises:
        LorapError: The model cannot be read or is not supported, ids do not fit, or activations are not finite.
    """
    config = read_config(model)
    plan = plan_for(spec, model, config, input_ids, device, quiet, survey, out.parent)
    wants = [{want for worker in spec.method.workers for want in worker.wanted(shape, layer)}
             for layer, shape in zip(plan.layers, plan.shapes, strict=True)]  # fmt: skip
    warn_of_few_tokens(sorted(set[Want]().union(*wants), key=str), plan.shapes[0], input_ids.numel())
    dtype = config.dtype or torch.float32
    store, measured = Store(spec.offload, device, out.parent), _measured(wants)
    loop = LayerLoop(
        plan.dense, model, input_ids, dtype, device, spec.at_once(), store, measured["dense"] > 0, measured
    )
    counts_on_stream = "dense" in loop.streams or any(want.settles_attention for some in wants for want in some)
    place = out if unfinished is None or spec.form == "dense" else unfinished  # factors are lost in the dense form
    progress = Progress(place, plan.compressed)

    def compressed_layers() -> Iterator[tuple[int, nn.Module]]:
        for index, layer in tqdm(loop, total=len(loop), desc="compress", unit="layer", disable=quiet):
            if index < progress.earlier:
                loop.advance(index, layer, "dense")
                loop.advance(index, progress.layer(index, dtype, device))
                continue
            if counts_on_stream and index == progress.earlier:
                require_plain_stream(layer, partial(loop.window_outputs, index, layer), loop.streams["compressed"][:1])
            errors = compress_layer(loop, index, layer, plan, spec.method)
            if spec.form == "dense":
                multiply_out(layer)
                pad_layer(layer, plan.compressed.model.layers[index], plan.layers[index], plan.shapes[index])
            progress.measured(plan.layers[index].as_dict() | errors)
            yield index, layer

    write_weights(place, plan.compressed, compressed_layers(), loop.weights, progress.earlier, progress.record)
    (place / SINGLE).replace(out / SINGLE)
    (place / DONE).replace(out / LAYERS)
    write_companions(model, out, plan.compressed.config)
    return plan


def _measured(wants: Sequence[Collection[Want]]) -> dict[Stream, int]:
    """How many layers there are, by stream, up to the last in which something of it is wanted."""
    streams: tuple[Stream, ...] = ("compressed", "dense")
    layers = {
        stream: [index + 1 for index, some in enumerate(wants) if any(stream in want.streams for want in some)]
        for stream in streams
    }
    return {stream: max(found, default=0) for stream, found in layers.items()}


@torch.no_grad()
def compress_layer(loop: LayerLoop, index: int, layer: nn.Module, plan: Plan, method: Method) -> dict[str, Errors]:
    """Statistics through the dense layer, compression, then the compressed layer's outputs for the next one.

    What a worker wants behind compressed parts of the layer is measured in passes of its own, once they are.

    Returns:
        ``errors`` and ``plain_errors`` of every projection that changed, see ``layer_errors``; ``joint_errors`` of the
        attention's output where q and k were factorised in their metrics, see there.
    """
    errors = _change(loop, index, layer, plan, method)  # the dense weights and the statistics are gone by now
    loop.advance(index, layer)
    restore_attention(layer)
    return errors


def _change(loop: LayerLoop, index: int, layer: nn.Module, plan: Plan, method: Method) -> dict[str, Errors]:
    """Measures and changes a layer in place; returns how far its weights have moved."""
    if plan.is_dense_to(index):  # there is nothing to repair either
        loop.advance(index, layer, "dense")
        return {"errors": {}, "plain_errors": {}}
    attention, ffn = method.treatments
    layer_plan, shape = plan.layers[index], plan.shapes[index]
    seen = Seen(scores=plan.scores[index] if plan.scores else {})
    wants = [want for worker in method.workers for want in worker.wanted(shape, layer_plan)]
    of_dense = [want for want in wants if want.stream == "dense"]
    before = {want.input for want in wants if want.kind == "before"}
    first = {want.input for want in wants if want.kind == "counterpart"}
    seen.dense = {name: linear(layer, name).weight for name in PROJECTIONS}

    def gather(behind: Behind, inputs: Collection[str], keep: Collection[str] = ()) -> None:
        chosen = [want for want in wants if want.stream == "compressed" and want.behind == behind]
        chosen = [want for want in chosen if want.input in inputs]
        loop.gather(index, layer, chosen, seen, [("compressed", name) for name in keep])

    with in_layer(index):
        loop.gather(index, layer, of_dense, seen, [("dense", name) for name in first])
        loop.advance(index, layer, "dense", to_the_end=any(want.needs_dense_outputs for want in wants))
        gather("nothing", first)
        loop.kept.clear()
        if method.repair:
            method.repair.mend_values(layer, layer_plan, seen)
        gather("nothing", set(READERS) - first, before)
        if windows := attention.windows_for_metrics(layer_plan):
            seen.metrics = attention_metrics(loop, index, layer, windows)
        dense = attention_modules(layer)
        seen.kept |= attention.apply(layer, layer_plan, seen)
        joint = {"joint_errors": joint_errors(loop, index, layer, dense, seen.metrics, windows)} if windows else {}
        gather("attention", OF_ATTENTION, before)
        if method.repair:
            method.repair.mend_attention(layer, layer_plan, seen)
        if any(want.settles_attention for want in wants):
            settle_attention(loop, index, layer)
        loop.kept.clear()
        gather("attention", OF_FFN)
        seen.kept |= ffn.apply(layer, layer_plan, seen)
        gather("layer", READERS)
        if method.repair:
            method.repair.apply(layer, layer_plan, seen)
    tell_of_floors(index, seen.floored)
    return layer_errors(layer, (attention, ffn), seen) | joint
