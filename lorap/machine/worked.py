"""Multiply-accumulates of the work on a layer, eigenvectors apart, in upper bounds; no torch here."""

from dataclasses import replace

from lorap.artifacts.specs import CompressSpec, SurveySpec
from lorap.machine.passes import attention_metric, others, some_of
from lorap.machine.streaming import Model
from lorap.methods.obs import Obs
from lorap.methods.seen import Want
from lorap.model.layer_plan import READERS
from lorap.settings.method import Method
from lorap.settings.schema import COPIES, Calibrate

THIN = 0.9  # a sparsity at which no weight stays dense


def compressing_work(model: Model, spec: CompressSpec, windows: Calibrate) -> float:
    """Of compressing a layer: passes of all windows, what is summed in them, metrics of q and k, and what is solved.

    What is solved depends on the layer's plan. It is counted for the one that takes more, be it that all channels stay
    or that a single one does.
    """
    workers, shape, plan = spec.method.workers, model.shape, model.plan(spec.method, spec.sparsity)
    wants = measured(model, spec.method)
    passes = len({want.sweep for want in wants}) + len({stream for want in wants for stream in want.streams})
    looked = spec.method.treatments[0].windows_for_metrics(plan)
    plans = (replace(plan, channels=shape.channels), replace(plan, channels=1))
    solved = sum(max(worker.solutions(shape, each) for each in plans) for worker in workers)
    tokens = windows.nsamples * windows.seqlen
    summed = sum(_products(model, want) for want in wants)
    return tokens * (passes * model.sizes.layer + summed) + attention_metric(shape, windows, looked).macs + solved


def measured(model: Model, method: Method) -> set[Want]:
    """What a method measures in a layer of which it leaves nothing as it was."""
    plan = model.plan(method, THIN)
    return {want for worker in method.workers for want in worker.wanted(model.shape, plan)}


def sweeping_work(model: Model, spec: CompressSpec, windows: Calibrate) -> float:
    """Of the sweep that scores all layers first: a pass, and for gradients what three more of some windows take."""
    shape, sizes, drawn = model.shape, model.sizes, some_of(windows, spec.method.gradients)
    wants = {want for worker in spec.method.swept for want in worker.wanted(shape, None)}
    summed = sum(_products(model, want) for want in wants)
    swept = (windows if wants else drawn).nsamples * (sizes.layer + summed)
    back = 3 * drawn.nsamples * (sizes.layer + sizes.vocabulary * sizes.hidden / sizes.layers)
    return windows.seqlen * sizes.layers * (swept + back)


def surveying_work(model: Model, spec: SurveySpec, windows: Calibrate) -> float:
    """Of surveying a layer: the windows and the copies that pass it, moments, metrics of q and k, and all removals."""
    shape, tokens = model.shape, windows.nsamples * windows.seqlen
    heads = Want("attention_out", "gram", blocks=shape.heads)
    wants = [Want("attention_in", "gram"), heads, Want("ffn_hidden", "gram")]
    summed = sum(_products(model, want) for want in wants)
    passes = tokens * ((1 + COPIES) * model.sizes.layer + summed)
    metrics = attention_metric(shape, windows, spec.survey.metric_windows).macs
    return passes + metrics + removals(model)


def removals(model: Model) -> float:
    """Of taking one channel after the other away from a layer, until a single one is left."""
    return Obs().solutions(model.shape, replace(model.dense, channels=1))


def _products(model: Model, want: Want) -> float:
    """Of the sums of a statistic for one token."""
    features = model.shape.sizes[READERS[want.input][0]][1]
    return features * others(want, features, model.shape)
