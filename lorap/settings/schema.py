"""What may stand in params.yaml: one model a section, nothing unknown, numbers that are numbers."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, ValidationInfo, field_validator

from lorap.model.layer_plan import Form
from lorap.settings.method import Method
from lorap.settings.sources import CorpusSource, Dtype, ModelSource, Name
from lorap.strict import Strict

DECIMALS = 10  # of a sparsity in the name of a folder
COPIES = 2  # of all windows: what a survey's pruned copies of some of them, one a layer, come to


def _in_a_name(sparsity: float) -> float:
    if round(sparsity, DECIMALS) != sparsity:
        raise ValueError(f"expected at most {DECIMALS} decimals, since it becomes the name of a folder")
    return sparsity


def _count_or_auto(value: Any) -> int | str:
    if value == "auto" or (type(value) is int and value >= 1):
        return value
    raise ValueError("should be a whole number of at least 1, or 'auto'")


Sparsity = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Batch = Annotated[int | Literal["auto"], PlainValidator(_count_or_auto)]  # windows; auto: as many as memory is free for
Window = Annotated[int, Field(ge=2)]  # tokens, of which all but the first are scored
Offload = Literal[False, True, "disk"]  # keep activations in the CPU's memory, or in a file
KeptAs = Literal["adapter", "exact", "truncated"]  # what becomes of a tuned model


class Calibrate(Strict):
    """A calibration set: windows drawn from a corpus; ``seed`` None means that of the file."""

    corpus: Name
    nsamples: Count
    seqlen: Count
    seed: int | None = None


class Compress(Strict):
    """How compression runs and in which form it is stored.

    ``dtype: auto`` keeps the model's; ``batch`` windows pass at once; ``offload`` keeps a layer's inputs in the CPU's
    memory, or on the disk.
    """

    dtype: Dtype
    form: Form
    batch: Batch
    offload: Offload


class Survey(Strict):
    """How a dense model is surveyed (plus.md, 6): what the treatments of lorap-plus would lose in each layer.

    ``shrinkage`` and ``selection_ridge`` as in these treatments; ``metric_windows`` for the metric of queries and keys;
    ``pruned`` of a layer's channels are gone in the copy that shows what an error there costs. ``windows`` of the
    calibration are looked at, spread over all; null takes every one.
    """

    shrinkage: Annotated[float, Field(ge=0, le=1)] = 0.1
    selection_ridge: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.3
    metric_windows: Count = 6
    pruned: Annotated[float, Field(gt=0, lt=1)] = 0.3
    windows: Count | None = None


class Tune(Strict):
    """LoRA tuning (method.md, 9).

    ``form: dense`` multiplies the factors out, as published; ``factored`` puts the adapter beside them. ``rows`` of the
    data are used, of which ``held_out`` (a number, or a share below 1) are not trained on; text is cut into rows of
    ``cutoff`` tokens. A step sees ``batch`` rows, ``micro_batch`` of them at once. ``epochs`` pass over the data unless
    ``max_steps`` come first.
    """

    corpus: Name
    form: Form
    rows: Count | None
    held_out: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    split_seed: int
    cutoff: Window
    rank: Count
    alpha: Count
    dropout: Annotated[float, Field(ge=0, lt=1)]
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    warmup_steps: Annotated[int, Field(ge=0)]
    epochs: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    max_steps: Count | None
    batch: Count
    micro_batch: Count
    evaluate_every: Count
    dtype: Dtype
    gradient_checkpointing: bool


class Perplexity(Strict):
    """A perplexity protocol; ``windows: null`` means all of the text."""

    corpus: Name
    seqlen: Window
    windows: Count | None


class Zeroshot(Strict):
    """A zero-shot protocol; ``documents: null`` means all of every task.

    Files below ``local``, relative to the variable LORAP_DATA, override the hub's: ``TASK/SPLIT.parquet``.
    """

    tasks: Annotated[list[Name], Field(min_length=1)]
    documents: Count | None
    local: str | None = None


class Cost(Strict):
    """What a model costs: MACs of ``tokens`` tokens, prefill of a prompt and decoding for every batch size."""

    tokens: Count
    prompt: Count
    new_tokens: Annotated[int, Field(ge=2)]
    batches: Annotated[list[Count], Field(min_length=1)]
    warmup: Count
    repeats: Count


class Evaluate(Strict):
    """The measurements: windows a forward pass, perplexity and zero-shot protocols by name, and cost."""

    batch: Count
    perplexity: dict[Name, Perplexity]
    zeroshot: dict[Name, Zeroshot]
    cost: Cost


class Report(Strict):
    """How tables and figures are written."""

    digits: Count
    dpi: Count


class Block(Strict):
    """A rectangle of cells; without ``models`` it is of all models, without ``calibrations`` the grid's own is used.

    ``tune`` names tunings, ``kept_as`` says in which forms each tuned model is kept and measured (as an adapter where
    it is absent); ``zeroshot`` asks for the grid's zero-shot protocol.
    """

    models: list[Name] | None = None
    methods: list[Name]
    sparsities: list[Annotated[Sparsity, AfterValidator(_in_a_name)]]
    calibrations: list[Name] | None = None
    tune: list[Name] | None = None
    kept_as: Annotated[list[KeptAs], Field(min_length=1)] | None = None
    zeroshot: bool = False


class Grid(Strict):
    """A named set of cells and how they are measured."""

    models: Annotated[list[Name], Field(min_length=1)]
    calibration: Name
    cells: list[Block]
    perplexity: Annotated[list[Name], Field(min_length=1)]
    zeroshot: Name | None = None

    @field_validator("cells")
    @classmethod
    def _of_its_models(cls, cells: list[Block], info: ValidationInfo) -> list[Block]:
        known = info.data.get("models", [])
        for name in (name for block in cells for name in block.models or () if known and name not in known):
            raise ValueError(f"{name} is none of the grid's models: {', '.join(known)}")
        return cells


class Params(Strict):
    """All of params.yaml."""

    active: list[Name]
    seed: int
    models: dict[Name, ModelSource]
    corpora: dict[Name, CorpusSource]
    methods: dict[Name, Method]
    calibrate: dict[Name, Calibrate]
    compress: Compress
    survey: Survey = Survey()
    tune: dict[Name, Tune]
    evaluate: Evaluate
    report: Report
    grids: dict[Name, Grid]
