"""Seconds of the steps that hold a whole model, or none, term by term (docs/estimate.md); no torch here."""

from pathlib import Path

from lorap.artifacts.specs import CostSpec, PerplexitySpec, SuiteSpec, TuneSpec
from lorap.files import read_json
from lorap.machine.needs import CHOICES, LENGTH, WHOLE_TASK, WHOLE_TEXT, rows_trained
from lorap.machine.passes import Amount, Tokens, head_pass, layer_pass
from lorap.machine.speeds import Machine
from lorap.machine.streaming import Model, Terms, multiplied_out, seconds_of
from lorap.model.layer_plan import PROJECTIONS, LayerPlan
from lorap.settings.schema import Zeroshot
from lorap.settings.sources import CorpusSource, ModelSource

COUNTED = read_json(Path(__file__).with_name("texts.json"))  # what the texts and tasks of params.yaml hold
COMPRESSED_SHARE = 0.3  # of the bytes of 16-bit weights that a GGUF file of some 4 bits a weight has
FIGURES = 5  # seconds for tables and figures, as the demo's report took
PADDED = 1.3  # times its own length is a row's once it is as long as the longest beside it
CALL = 6e-4  # seconds of Python for a layer that has next to nothing to compute, on an AMD EPYC
ADDED, DROPPED = 4, 8  # values moved for each feature beside which an adapter stands, without and with dropout
BACKWARD = 2  # elementwise work of a backward pass, as a multiple of the forward pass


def fetching(machine: Machine, model: Model, source: ModelSource) -> Terms:
    """Seconds of ``lorap fetch``."""
    size = model.stored(model.dense, model.sizes.width())
    share = {"hub": 1.0, "wheel": COMPRESSED_SHARE}.get(source.source, 0.0)
    return {
        "start": machine.start(),
        "download": machine.take(share * size, "network"),
        "reading": machine.take(size, "read"),
        "writing": machine.take(size, "write"),
        "hashing": machine.take(size, "hash"),
    }


def calibrating(machine: Machine) -> Terms:
    """Seconds of ``lorap calibrate``; the download of a corpus is not in it."""
    return {"start": machine.start()}


def reporting(machine: Machine) -> Terms:
    """Seconds of ``lorap report``."""
    return {"start": machine.start(), "figures": FIGURES}


def tuning(machine: Machine, model: Model, spec: TuneSpec, plan: LayerPlan) -> Terms:
    """Seconds of ``lorap tune``: steps, and the held-out rows that are scored between them."""
    tune, dtype = spec.tune, model.dtype(spec.tune.dtype)
    width, rows = model.sizes.width(dtype), rows_trained(tune)
    form = plan if tune.form == "factored" else multiplied_out(plan)
    length = min(_row(spec.source), tune.cutoff)
    forward = _through(model, form, Tokens(length, length), width) + head_pass(model.sizes, length, width)
    adapter = beside(model, form, tune.rank, tune.dropout > 0) * length
    step = forward * (3 if tune.gradient_checkpointing else 2) + adapter * 3 + Amount(0, BACKWARD * forward.moved)
    evaluations = int(rows / tune.batch) // tune.evaluate_every + 2
    held = tune.held_out if tune.held_out >= 1 else tune.held_out * (tune.rows or rows)
    return {
        "start": machine.start(harness=True),
        "reading": machine.take(model.stored(plan, width), "read"),
        "training": seconds_of(step * rows, machine, model, dtype),
        "held-out rows": seconds_of((forward + adapter) * (evaluations * held), machine, model, dtype),
    }


def adapter_parameters(model: Model, plan: LayerPlan, rank: int) -> int:
    """Parameters of an adapter's pairs in a layer."""
    sizes = plan.sizes(model.shape)
    return rank * sum(sum(sizes[name]) for name in PROJECTIONS)


def beside(model: Model, plan: LayerPlan, rank: int, dropout: bool = False) -> Amount:
    """What an adapter takes beside the projections for one token, in float32."""
    if not rank:
        return Amount()
    parameters = model.sizes.layers * adapter_parameters(model, plan, rank)
    return Amount(parameters, 4 * (DROPPED if dropout else ADDED) * parameters / rank)


def measuring(machine: Machine, model: Model, spec: SuiteSpec, plan: LayerPlan, adapter: int = 0) -> Terms:
    """Seconds of measuring how good a model is, beside whose weights an adapter of some rank may stand."""
    dtype = model.dtype()

    def passes(count: float, length: float) -> Amount:
        return _answering(model, plan, adapter, Tokens(count, length))

    scored = sum((passes(tokens_of(one), one.seqlen) for one in spec.perplexity.values()), Amount())
    terms = _loading(machine, model, plan, bool(adapter or spec.zeroshot))
    terms["perplexity"] = seconds_of(scored, machine, model, dtype)
    if spec.zeroshot:
        asked = sum((passes(count, length) for count, length in _asked(spec.zeroshot.zeroshot)), Amount())
        terms["zero-shot"] = seconds_of(asked, machine, model, dtype)
    return terms


def timing(machine: Machine, model: Model, spec: CostSpec, plan: LayerPlan, adapter: int = 0) -> Terms:
    """Seconds of timing prompts, and tokens after them, for each of which all weights are read."""
    cost, dtype = spec.cost, model.dtype()
    runs = cost.warmup + cost.repeats
    prompt = _answering(model, plan, adapter, Tokens(cost.prompt, cost.prompt))
    weights = model.stored(plan, model.sizes.width(dtype))
    return _loading(machine, model, plan, bool(adapter)) | {
        "prompts": seconds_of(prompt * (runs * sum(cost.batches)), machine, model, dtype),
        "tokens": runs * len(cost.batches) * cost.new_tokens * machine.take(weights, "move"),
        "calls": runs * len(cost.batches) * (1 + cost.new_tokens) * model.sizes.layers * CALL,
    }


def _loading(machine: Machine, model: Model, plan: LayerPlan, harness: bool) -> Terms:
    """Seconds until a model is where it computes."""
    size = model.stored(plan, model.sizes.width())
    terms = {"start": machine.start(harness=harness), "reading": machine.take(size, "read")}
    return terms | ({"transfer": machine.take(size, "transfer")} if machine.gpu else {})


def _answering(model: Model, plan: LayerPlan, adapter: int, tokens: Tokens) -> Amount:
    """What a forward pass with logits takes, beside whose weights an adapter of some rank may stand."""
    width = model.sizes.width(model.dtype())
    head = head_pass(model.sizes, tokens.count, width)
    return _through(model, plan, tokens, width) + head + beside(model, plan, adapter) * tokens.count


def tokens_of(spec: PerplexitySpec) -> float:
    """Tokens that a perplexity protocol scores, about."""
    if spec.windows is not None:
        return spec.windows * spec.seqlen
    characters = COUNTED["characters"].get(getattr(spec.source, "repo", None))
    return characters / COUNTED["characters_a_token"] if characters else WHOLE_TEXT


def _asked(zeroshot: Zeroshot) -> list[tuple[float, float]]:
    """Tokens of all requests of each task, and of one of them, about."""
    found = []
    for name in zeroshot.tasks:
        task = COUNTED["tasks"].get(name)
        length = task["characters"] / COUNTED["characters_a_token"] if task else LENGTH
        documents, choices = (task["documents"], task["choices"]) if task else (WHOLE_TASK, CHOICES)
        found.append((min(zeroshot.documents or documents, documents) * choices * length, length))
    return found


def _row(source: CorpusSource | None) -> float:
    """Tokens of a row to tune on, about; text is cut into full ones."""
    characters = COUNTED["rows"].get(getattr(source, "repo", None))
    return PADDED * characters / COUNTED["characters_a_token"] if characters else float("inf")


def _through(model: Model, plan: LayerPlan, tokens: Tokens, width: int) -> Amount:
    return layer_pass(plan, model.shape, tokens, width) * model.sizes.layers
