"""What a step asks of a machine, from a model's config.json and the step's settings: memory and time; no torch here.

Upper bounds in closed form, for a cluster that ends a job which takes more than it asked for. The peaks measured are
0.4 to 0.8 of them, and less where a step hardly needs more than its libraries.
"""

from dataclasses import replace
from pathlib import Path

from lorap.artifacts.specs import CompressSpec, CostSpec, RedecomposeSpec, SuiteSpec, SurveySpec, TuneSpec
from lorap.machine.need import MIB, Need
from lorap.machine.passes import backward_bytes, inputs_bytes, pass_bytes, some_of
from lorap.machine.streaming import Model
from lorap.machine.worked import compressing_work, measured, surveying_work, sweeping_work
from lorap.methods.seen import KEPT
from lorap.model.sizes import Sizes, eigenvector_operations, factorising_bytes
from lorap.settings.schema import COPIES, Batch, Calibrate, Offload, Tune
from lorap.settings.sources import CorpusSource, ModelSource

LIBRARIES = 480 * MIB  # Python, torch and transformers
HARNESS = 250 * MIB  # lm-eval, datasets and peft
TEXT = {"pydoc": 100 * MIB, "files": 4096 * MIB, "instructions": 1024 * MIB}  # read whole, and as tokens
WHEEL = 2048 * MIB  # a model from a package, unpacked; PyPI takes no large ones
ASSUMED = 16  # windows at once, where the job is to choose by the memory that it gets
UNPACKING = 6  # bytes in memory for each of a GGUF file, of some 4 bits a weight

DOWNLOAD = 12 * 60  # minutes
WHOLE_TEXT, WHOLE_TASK = 500_000, 10_000  # tokens, and documents of a task, where the settings take all
ZEROSHOT_BATCH, CHOICES, LENGTH = 16, 4, 128  # requests at once, requests a document and tokens of one
ROWS = 52_000  # of instructions, where the settings take all


def fetch(model: ModelSource) -> Need:
    """A model by its source: files are copied, a GGUF file is unpacked in memory; a missing one is named by the job."""
    if model.source == "gguf":
        file = Path(model.path)
        return Need(LIBRARIES + UNPACKING * (file.stat().st_size if file.is_file() else 0))
    return Need(LIBRARIES + (WHEEL if model.source == "wheel" else 0), waiting=DOWNLOAD)


def calibrate(source: CorpusSource) -> Need:
    """Windows of tokens; a file of a corpus is read whole."""
    return Need(LIBRARIES + TEXT[source.source], waiting=DOWNLOAD if source.source == "files" else 0)


def compress(model: Model, spec: CompressSpec, windows: Calibrate) -> Need:
    """A layer at a time: its weights before and after, and what its treatments work with."""
    sizes, workers = model.sizes, spec.method.workers
    layer = 2 * sizes.layer * sizes.width(spec.dtype) + sum(worker.statistics_bytes(sizes) for worker in workers)
    workspace = max(worker.workspace_bytes(sizes) for worker in workers)
    operations = sum(worker.eigenvector_operations(sizes) for worker in workers)
    need = _layer_by_layer(sizes, windows, spec.batch, layer, workspace, operations, spec.dtype)
    need = replace(need, work=sizes.layers * compressing_work(model, spec, windows))
    inputs = inputs_bytes(sizes, windows, sizes.width(spec.dtype))
    wants = measured(model, spec.method)
    dense, kept = (any("dense" in want.streams for want in wants), any(want.kind in KEPT for want in wants))
    beside = (dense + kept) * inputs
    need = _offloaded(replace(need, device=need.device + beside), inputs + beside, spec.offload)
    return _after_sweep(need, model, spec, windows) if spec.method.swept else need


def survey(model: Model, spec: SurveySpec, windows: Calibrate) -> Need:
    """A layer at a time: its weights, moments and what takes channels away, and the copies that lost some."""
    sizes, windows = model.sizes, some_of(windows, spec.survey.windows)
    layer = sizes.layer * sizes.width(spec.dtype) + 8 * (sizes.channels**2 + 2 * sizes.hidden**2)
    workspace = 12 * sizes.channels**2 + 24 * sizes.hidden * sizes.channels
    need = _layer_by_layer(
        sizes, windows, spec.batch, layer, workspace, eigenvector_operations(sizes.hidden, 3), spec.dtype
    )
    inputs = inputs_bytes(sizes, windows, sizes.width(spec.dtype))
    logits = COPIES * windows.nsamples * windows.seqlen * sizes.vocabulary * sizes.hidden
    work = sizes.layers * surveying_work(model, spec, windows) + logits
    need = replace(need, device=need.device + COPIES * inputs, work=work)
    return _offloaded(need, (1 + COPIES) * inputs, spec.offload)


def _offloaded(need: Need, inputs: int, offload: Offload) -> Need:
    """A need with its activations elsewhere; in a file they take no memory that the system cannot take back."""
    away = inputs if offload else 0
    return replace(need, host=need.host + (away if offload is True else 0), device=need.device - away)


def _after_sweep(need: Need, model: Model, spec: CompressSpec, windows: Calibrate) -> Need:
    """A need with the sweep over the dense model before it, which has given its memory back by then."""
    sizes, width, drawn = model.sizes, model.sizes.width(spec.dtype), some_of(windows, spec.method.gradients)
    workspace = max(worker.workspace_bytes(sizes) for worker in spec.method.swept)
    if drawn.nsamples:
        flowing = inputs_bytes(sizes, drawn, width)
        squared = spec.method.squared_gradients
        sums = 4 * (1 + squared) * sizes.layer
        workspace = flowing + max(workspace + sums, backward_bytes(sizes, drawn.seqlen, width, squared))
    layer = sizes.layer * width + sum(worker.statistics_bytes(sizes) for worker in spec.method.swept)
    sweep = _layer_by_layer(sizes, windows, spec.batch, layer, workspace, 0, spec.dtype)
    kept = sizes.layers * inputs_bytes(sizes, drawn, width)
    sweep = replace(sweep, device=sweep.device + kept)
    sweep = _offloaded(sweep, kept + inputs_bytes(sizes, windows, width), spec.offload)
    host, device = max(need.host, sweep.host), max(need.device, sweep.device)
    work = need.work + sweeping_work(model, spec, windows)
    spectra = sizes.layers * sum(worker.eigenvector_operations(sizes) for worker in spec.method.swept)
    return Need(host, device, work, need.eigenvectors + spectra)


def spectra(sizes: Sizes, windows: Calibrate, batch: Batch) -> Need:
    """A layer at a time: its weights and their eigenvalues."""
    layer = sizes.layer * sizes.width()
    return _layer_by_layer(
        sizes, windows, batch, layer, factorising_bytes(sizes), eigenvector_operations(sizes.hidden, 7)
    )


def redecompose(sizes: Sizes, spec: RedecomposeSpec, windows: Calibrate) -> Need:
    """A layer at a time: its weights before and after, and its exact factors in float32."""
    layer = sizes.layer * (2 * sizes.width() + 4)
    return _layer_by_layer(
        sizes, windows, spec.batch, layer, factorising_bytes(sizes), eigenvector_operations(sizes.hidden, 7)
    )


def tune(sizes: Sizes, spec: TuneSpec) -> Need:
    """The whole model, its adapter with gradients and moments, and what a forward pass keeps for the backward one."""
    settings, width = spec.tune, sizes.width(spec.tune.dtype)
    tokens = settings.micro_batch * settings.cutoff
    adapter = sizes.layers * settings.rank * (11 * sizes.hidden + 3 * sizes.channels) * 16
    kept = pass_bytes(sizes, tokens, width)
    if not settings.gradient_checkpointing:
        kept += sizes.layers * tokens * (14 * sizes.hidden + 6 * sizes.channels) * width
    logits = tokens * sizes.vocabulary * (width + 12)
    device = sizes.parameters * width + adapter + kept + logits
    work = 3 * rows_trained(settings) * settings.cutoff * sizes.parameters
    return Need(LIBRARIES + HARNESS + _mapped(sizes), device, work)


def rows_trained(settings: Tune) -> float:
    """Rows that tuning trains on, each as often as it comes."""
    rows = settings.rows or ROWS
    held_out = settings.held_out if settings.held_out >= 1 else settings.held_out * rows
    most = settings.epochs * (rows - held_out)
    return most if settings.max_steps is None else min(most, settings.max_steps * settings.batch)


def evaluate(sizes: Sizes, spec: SuiteSpec) -> Need:
    """The whole model, and the logits of a batch."""
    width = sizes.width()
    pass_, logits, tokens = 0.0, 0.0, 0.0
    for protocol in spec.perplexity.values():
        batch = protocol.batch * protocol.seqlen
        pass_ = max(pass_, pass_bytes(sizes, batch, width))
        logits = max(logits, sizes.vocabulary * (batch * width + protocol.seqlen * 12))
        tokens += protocol.windows * protocol.seqlen if protocol.windows else WHOLE_TEXT
    if spec.zeroshot:
        asked = spec.zeroshot.zeroshot
        logits = max(logits, ZEROSHOT_BATCH * LENGTH * sizes.vocabulary * 2 * width)
        tokens += len(asked.tasks) * (asked.documents or WHOLE_TASK) * CHOICES * LENGTH
    device = sizes.parameters * width + pass_ + logits
    return Need(LIBRARIES + HARNESS + _mapped(sizes), device, tokens * sizes.parameters)


def cost(sizes: Sizes, spec: CostSpec) -> Need:
    """The whole model, a prompt of the largest batch on its way through it, and its keys and values."""
    asked, width = spec.cost, sizes.width(spec.dtype)
    tokens = max(asked.batches) * (asked.prompt + asked.new_tokens)
    kept = sizes.layers * tokens * 2 * sizes.hidden * width  # at most: groups of heads may share them
    device = sizes.parameters * width + pass_bytes(sizes, tokens, width) + kept
    runs = (asked.warmup + asked.repeats) * sum(asked.batches)
    return Need(
        LIBRARIES + HARNESS + _mapped(sizes), device, runs * (asked.prompt + asked.new_tokens) * sizes.parameters
    )


def report() -> Need:
    """Tables and figures of small files."""
    return Need(LIBRARIES)


def _layer_by_layer(
    sizes: Sizes, windows: Calibrate, batch: Batch, layer: int, workspace: int, operations: int, dtype: str = "auto"
) -> Need:
    """The need of a step that streams a model: a layer, the inputs of all windows, and a pass or a factorisation.

    The file of weights is mapped, not read: its pages count as the job's until the system wants them back.
    """
    width, tokens = sizes.width(dtype), windows.nsamples * windows.seqlen
    at_once = (ASSUMED if batch == "auto" else batch) * windows.seqlen
    device = layer + inputs_bytes(sizes, windows, width) + max(workspace, pass_bytes(sizes, at_once, width))
    host = LIBRARIES + _mapped(sizes) + sizes.vocabulary * sizes.hidden * width
    return Need(host, device, 2 * tokens * sizes.layers * sizes.layer, sizes.layers * operations)


def _mapped(sizes: Sizes) -> int:
    return sizes.parameters * sizes.width()
