"""Seconds of the steps that stream a model layer by layer, term by term (docs/estimate.md); no torch here."""

from collections.abc import Collection
from dataclasses import replace
from itertools import groupby
from operator import attrgetter

from lorap.artifacts.specs import CompressSpec, RedecomposeSpec, SurveySpec
from lorap.core.budget import QK, break_even_rank
from lorap.machine.factoring import comparing, factorising, joining, spectrum, truncating
from lorap.machine.passes import SYMMETRIC, Amount, attention_metric, head_pass, others, some_of, statistics
from lorap.machine.speeds import Machine
from lorap.machine.streaming import Model, Stream, Terms, multiplied_out
from lorap.machine.worked import THIN, removals
from lorap.methods.seen import Want
from lorap.model.layer_plan import FFN, INPUT_OF, PROJECTIONS, READERS, LayerPlan
from lorap.settings.method import Method
from lorap.settings.schema import COPIES, Calibrate

SCORES = 18  # bytes moved for each weight of an FFN that is scored, and kept or not
BACKWARD = 3  # passes that a layer's gradients take: forwards, and back to its inputs and to its weights
SUMS = 32  # bytes moved for each weight and window: its gradient and the square are added up


def compressing(machine: Machine, model: Model, spec: CompressSpec, windows: Calibrate) -> Terms:
    """Seconds of ``lorap compress``."""
    plan, dtype = model.plan(spec.method, spec.sparsity), model.dtype(spec.dtype)
    stream = Stream(machine, model, dtype, windows)
    wants = {want for worker in spec.method.workers for want in worker.wanted(model.shape, plan)}
    layer: Terms = {"passes": 0.0, "statistics": 0.0}
    _gather(stream, layer, wants, plan)
    moments = _whole(wants)
    if any("compressed" in want.streams for want in wants):
        layer["passes"] += stream.advancing(plan)
    if any("dense" in want.streams for want in wants):
        to_the_end = any(want.needs_dense_outputs for want in wants)
        layer["passes"] += stream.passing(model.dense) if to_the_end else stream.advancing(model.dense)
    solved = sum(worker.solutions(model.shape, plan) for worker in spec.method.workers)
    if solved:
        layer["solutions"] = stream.seconds(Amount(solved), "float32")
    if looked := spec.method.treatments[0].windows_for_metrics(plan):
        layer["metrics"] = stream.seconds(attention_metric(model.shape, windows, looked), "float32")
        layer["metrics"] += _predicting(replace(stream, windows=some_of(windows, looked)))
    changed = {name: plan.ranks[name] for name in PROJECTIONS if _changes(model, plan, name)}
    sizes = {name: model.shape.sizes[name] for name in changed}
    low = {name: rank for name, rank in changed.items() if rank is not None}
    apart = {name: rank for name, rank in low.items() if not any(name in group for group in plan.shared)}
    layer["factorisation"] = sum(
        factorising(machine, sizes[name], rank, INPUT_OF[name] in moments) for name, rank in apart.items()
    ) + sum(joining(machine, [sizes[name] for name in group]) for group in plan.shared)
    compared = [comparing(sizes[name], rank, name in low and INPUT_OF[name] in moments)
                for name, rank in changed.items()]  # fmt: skip
    layer["errors"] = sum(stream.seconds(amount, "float32") for amount in compared)
    if plan.channels != model.shape.channels:
        layer["scores"] = machine.take(SCORES * model.sizes.ffn, "move")
    written = plan if spec.form == "factored" else multiplied_out(plan)
    return stream.whole(layer, model.dense, written) | sweeping(stream, spec.method)


def sweeping(stream: Stream, method: Method) -> Terms:
    """Seconds of the sweep that scores all layers before the compression, where a method has one."""
    if not method.swept:
        return {}
    model, machine, drawn = stream.model, stream.machine, some_of(stream.windows, method.gradients)
    wants = {want for worker in method.swept for want in worker.wanted(model.shape, None)}
    some = replace(stream, windows=drawn)
    layer: Terms = {"passes": stream.passing(model.dense) if wants else some.advancing(model.dense)}
    layer["statistics"] = sum(_summing(stream, want, model.shape.sizes[READERS[want.input][0]][1]) for want in wants)
    ranks = model.plan(method, THIN).ranks if method.share.scored else {}
    low = {name: model.shape.sizes[name] for name, rank in ranks.items() if rank}
    layer["spectra"] = sum(spectrum(machine, size, INPUT_OF[name] in _whole(wants)) for name, size in low.items())
    found = {"sweep": _without_start(stream if wants else some, layer)}
    if drawn.nsamples:
        summed = machine.take(SUMS * model.sizes.layer * drawn.nsamples, "move")
        head = head_pass(model.sizes, some.tokens.count, model.sizes.width(stream.dtype))
        back = _without_start(some, {"passes": BACKWARD * some.passing(model.dense), "sums": summed})
        found["gradients"] = back + some.passing(model.dense) + 2 * some.seconds(head)
    return found


def _without_start(stream: Stream, layer: Terms) -> float:
    """Seconds of a walk through the dense model in a process that runs already."""
    return sum(stream.whole(layer, stream.model.dense, None).values()) - stream.machine.start()


def _predicting(stream: Stream) -> float:
    """Seconds of ``compression.joint_errors`` in a layer: two passes through its attention, and two quadratic forms."""
    shape, tokens = stream.model.shape, stream.tokens.count
    quadratic = Amount(tokens * (shape.heads + shape.kv_heads) * shape.head_dim**2)
    return 2 * stream.passing(stream.model.dense, "ffn_in") + stream.seconds(quadratic, "float64")


def surveying(machine: Machine, model: Model, spec: SurveySpec, windows: Calibrate) -> Terms:
    """Seconds of ``lorap survey``."""
    windows = some_of(windows, spec.survey.windows)
    stream = Stream(machine, model, model.dtype(spec.dtype), windows)
    sizes, tokens, dense = model.sizes, stream.tokens.count, stream.passing(model.dense)
    moments = Amount(tokens * (SYMMETRIC * (sizes.channels**2 + sizes.hidden**2) + sizes.hidden * model.shape.head_dim))
    outputs = sum(model.shape.sizes[name][0] for name in QK)
    layer = {
        "passes": dense,
        "copies": COPIES / 2 * dense,  # a layer's copy passes all layers behind it, half of them on average
        "statistics": stream.seconds(moments, "float32"),
        "metrics": stream.seconds(attention_metric(model.shape, windows, spec.survey.metric_windows), "float32"),
        "removals": stream.seconds(Amount(removals(model)), "float32"),
        "factorisation": machine.solve("eigenvectors float64", min(outputs, sizes.hidden)),
    }
    found = stream.whole(layer, model.dense, None)
    scored = COPIES * tokens / 2 * (1 + 1 / sizes.layers)
    return found | {"logits": stream.seconds(head_pass(sizes, scored, sizes.width(stream.dtype)))}


def _gather(stream: Stream, layer: Terms, wants: Collection[Want], plan: LayerPlan) -> None:
    """Adds the seconds of statistics, and of the passes that they are taken in, to those of a layer with a plan."""
    shape, dense = stream.model.shape, stream.model.dense
    half = replace(plan, channels=shape.channels, ranks=plan.ranks | dict.fromkeys(FFN))  # its attention is compressed
    forms = {"nothing": dense, "attention": half, "layer": plan}

    by_sweep = attrgetter("sweep")
    for key, group in groupby(sorted(wants, key=by_sweep), key=by_sweep):
        form, together = forms[key[1]], list(group)
        layer["passes"] += stream.passing(form, max((want.input for want in together), key=list(READERS).index))
        sizes = form.sizes(shape)
        layer["statistics"] += sum(_summing(stream, want, sizes[READERS[want.input][0]][1]) for want in together)
    if any(want.settles_attention for want in wants):  # which then passes once, not for the FFN's input and output each
        layer["passes"] -= stream.passing(half, "ffn_in")
        if any(want.kind == "before" for want in wants):  # and goes on from what o reads, which is kept
            layer["passes"] -= stream.passing(half, "attention_out")


def _whole(wants: Collection[Want]) -> Collection[str]:
    """The inputs in whose whole moments weights are factorised.

    Beside q and k, which are factorised together in a Gram matrix, v may want no more than sizes of the same input.
    """
    plain = {want.input for want in wants if want == Want(want.input, "gram", want.stream)}
    return {want.input for want in wants if want.kind == "moment"} | (
        plain - {want.input for want in wants if want.kind == "squares"}
    )


def _summing(stream: Stream, want: Want, features: int) -> float:
    """Seconds of the sums of one statistic."""
    amount = statistics(features, stream.tokens.count, others(want, features, stream.model.shape))
    return stream.seconds(amount, "float64" if want.kind == "moment" else "float32")


def _changes(model: Model, plan: LayerPlan, name: str) -> bool:
    """Whether a plan changes a projection."""
    return plan.ranks[name] is not None or plan.sizes(model.shape)[name] != model.shape.sizes[name]


def redecomposing(
    machine: Machine, model: Model, spec: RedecomposeSpec, windows: Calibrate, plan: LayerPlan, adapter: int
) -> Terms:
    """Seconds of ``lorap redecompose``, from a plan and the rank of an adapter."""
    stream = Stream(machine, model, model.sizes.dtype, windows)
    joined = joined_plan(plan, model, adapter)
    layer = {"joining": machine.take(12 * joined.stored(model.shape), "move")}
    if spec.rank == "k+r":
        return stream.whole(layer, plan, joined)
    layer |= stream.gathering(joined)
    layer["passes"] += stream.advancing(plan)
    cut = {name: rank for name, rank in plan.ranks.items() if rank is not None and joined.ranks[name] is not None}
    sizes = plan.sizes(model.shape)
    layer["factorisation"] = sum(truncating(machine, sizes[name], rank, rank + adapter) for name, rank in cut.items())
    compared = [comparing(sizes[name], 2 * rank + adapter, False) for name, rank in cut.items()]
    layer["errors"] = sum(stream.seconds(amount, "float32") for amount in compared)
    return stream.whole(layer, plan, plan)


def joined_plan(plan: LayerPlan, model: Model, adapter: int) -> LayerPlan:
    """The plan of a layer whose factors have taken up an adapter, each pair with a right factor of its own."""
    sizes = plan.sizes(model.shape)
    ranks = {name: _joined(rank, break_even_rank(sizes[name]), adapter) for name, rank in plan.ranks.items()}
    return replace(plan, ranks=ranks, shared=(), pivots={})


def _joined(rank: int | None, dense: float, adapter: int) -> int | None:
    return None if rank is None or rank + adapter >= dense else rank + adapter


def spectral(machine: Machine, model: Model, windows: Calibrate) -> Terms:
    """Seconds of ``lorap evaluate spectra``."""
    stream = Stream(machine, model, model.sizes.dtype, windows)
    layer = stream.gathering(model.dense)
    layer["passes"] += stream.advancing(model.dense)
    layer["factorisation"] = sum(spectrum(machine, size) for size in model.shape.sizes.values())
    return stream.whole(layer, model.dense, None)
