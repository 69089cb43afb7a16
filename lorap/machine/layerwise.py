"""Seconds of the steps that stream a model layer by layer, term by term (docs/estimate.md); no torch here."""

from collections.abc import Collection
from dataclasses import replace
from itertools import groupby

from lorap.artifacts.specs import CompressSpec, RedecomposeSpec
from lorap.core.budget import break_even_rank
from lorap.machine.factoring import comparing, factorising, spectrum, truncating
from lorap.machine.speeds import Machine
from lorap.machine.streaming import Model, Stream, Terms, multiplied_out
from lorap.model.layer_plan import INPUT_OF, PROJECTIONS, READERS, LayerPlan
from lorap.settings.method import Method
from lorap.settings.schema import Calibrate

SCORES = 18  # bytes moved for each weight of an FFN that is scored, and kept or not


def compressing(machine: Machine, model: Model, spec: CompressSpec, windows: Calibrate) -> Terms:
    """Seconds of ``lorap compress``."""
    plan, dtype = model.plan(spec.method, spec.sparsity), model.dtype(spec.dtype)
    stream = Stream(machine, model, dtype, windows)
    layer: Terms = {"passes": stream.advancing(plan), "statistics": 0.0}
    moments = _gather(stream, layer, spec.method, plan)
    if any(worker.dense_stream for worker in spec.method.workers):
        layer["passes"] += stream.passing(model.dense)
    if spec.method.share.surveys:
        layer["survey"] = 2 * stream.passing(model.dense)
    changed = {name: plan.ranks[name] for name in PROJECTIONS if _changes(model, plan, name)}
    sizes = {name: model.shape.sizes[name] for name in changed}
    low = {name: rank for name, rank in changed.items() if rank is not None}
    layer["factorisation"] = sum(
        factorising(machine, sizes[name], rank, INPUT_OF[name] in moments) for name, rank in low.items()
    )
    compared = [comparing(sizes[name], rank, name in low and INPUT_OF[name] in moments)
                for name, rank in changed.items()]  # fmt: skip
    layer["errors"] = sum(stream.seconds(amount, "float32") for amount in compared)
    if plan.channels != model.shape.channels:
        layer["scores"] = machine.take(SCORES * model.sizes.ffn, "move")
    return stream.whole(layer, model.dense, plan if spec.form == "factored" else multiplied_out(plan))


def _gather(stream: Stream, layer: Terms, method: Method, plan: LayerPlan) -> Collection[str]:
    """Adds the seconds of all statistics of a method to a layer's; returns the inputs whose moments are whole."""
    shape, moments = stream.model.shape, set()
    wants = {want for worker in method.workers for want in worker.wanted(shape, plan)}
    ordered = sorted(wants, key=lambda want: (want.stream, want.behind))
    for _, group in groupby(ordered, key=lambda want: (want.stream, want.behind)):
        kinds: dict[str, bool] = {}
        for want in group:
            kinds[want.input] = kinds.get(want.input, False) or want.kind == "moment"
        moments |= {key for key, whole in kinds.items() if whole}
        for name, seconds in stream.gathering(stream.model.dense, kinds).items():
            layer[name] += seconds
    return moments


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
    layer |= stream.gathering(joined, dict.fromkeys(READERS, False))
    layer["passes"] += stream.advancing(plan)
    cut = {name: rank for name, rank in plan.ranks.items() if rank is not None and joined.ranks[name] is not None}
    sizes = plan.sizes(model.shape)
    layer["factorisation"] = sum(truncating(machine, sizes[name], rank, rank + adapter) for name, rank in cut.items())
    compared = [comparing(sizes[name], 2 * rank + adapter, False) for name, rank in cut.items()]
    layer["errors"] = sum(stream.seconds(amount, "float32") for amount in compared)
    return stream.whole(layer, plan, plan)


def joined_plan(plan: LayerPlan, model: Model, adapter: int) -> LayerPlan:
    """The plan of a layer whose factors have taken up an adapter."""
    sizes = plan.sizes(model.shape)
    ranks = {name: _joined(rank, break_even_rank(sizes[name]), adapter) for name, rank in plan.ranks.items()}
    return replace(plan, ranks=ranks)


def _joined(rank: int | None, dense: float, adapter: int) -> int | None:
    return None if rank is None or rank + adapter >= dense else rank + adapter


def spectral(machine: Machine, model: Model, windows: Calibrate) -> Terms:
    """Seconds of ``lorap evaluate spectra``."""
    stream = Stream(machine, model, model.sizes.dtype, windows)
    layer = stream.gathering(model.dense, dict.fromkeys(READERS, False))
    layer["passes"] += stream.advancing(model.dense)
    layer["factorisation"] = sum(spectrum(machine, size) for size in model.shape.sizes.values())
    return stream.whole(layer, model.dense, None)
