"""The settings of one step, and only those: what Snakemake compares and what an artifact's meta.json records.

A spec says what is made, not where or on which device. ``code`` is the hash of the code that the step runs, so an
edit to it makes the step's artifacts out of date.
"""

import json
from typing import ClassVar, Literal, Self

from pydantic import Field

from lorap.artifacts.codehash import code_hash
from lorap.model.layer_plan import Form
from lorap.settings.method import Method
from lorap.settings.schema import (
    Batch,
    Calibrate,
    Cost,
    Count,
    Grid,
    Offload,
    Perplexity,
    Report,
    Sparsity,
    Survey,
    Tune,
    Window,
    Zeroshot,
)
from lorap.settings.sources import CorpusSource, Dtype, ModelSource, Name, TextSource
from lorap.strict import Strict


class Spec(Strict):
    """Base of the steps' settings; ``module`` is where the step's code starts."""

    module: ClassVar[str]
    code: str = Field(default="", validate_default=False)

    def modules(self) -> set[str]:
        """Where the code starts that these settings run."""
        return {self.module}

    def sealed(self) -> Self:
        """The spec with the hash of the step's code."""
        return self.model_copy(update={"code": code_hash(*sorted(self.modules()))})

    def canonical(self) -> str:
        """One JSON string for equal settings: keys sorted, no spaces."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))


class Batched(Spec):
    """Base of the settings of steps that pass calibration windows through a model, ``batch`` at once."""

    batch: Batch

    def at_once(self) -> int:
        """The batch as a number, which the job has put in the place of ``auto``."""
        if self.batch == "auto":
            raise ValueError("batch: no number has been chosen")
        return self.batch


class FetchSpec(Spec):
    """A model by source."""

    module = "lorap.data.download"
    name: str
    model: ModelSource = Field(discriminator="source")


class CalibrateSpec(Spec):
    """Calibration windows; ``corpus`` is the label, ``source`` None means a text file given beside the spec."""

    module = "lorap.data.draw"
    corpus: str
    source: TextSource | None
    nsamples: Count
    seqlen: Count
    seed: int


class CompressSpec(Batched):
    """A method at a sparsity, and how it is computed and stored."""

    module = "lorap.compression.run"
    method: Method
    sparsity: Sparsity
    form: Form
    dtype: Dtype
    offload: Offload

    def modules(self) -> set[str]:
        """Also those of the method's own parts, and of no other method's."""
        return super().modules() | self.method.modules()


class SurveySpec(Batched):
    """How a dense model is surveyed."""

    module = "lorap.compression.surveying"
    survey: Survey
    dtype: Dtype
    offload: Offload


class TuneSpec(Spec):
    """How to tune; ``source`` None means a file given beside the spec."""

    module = "lorap.tuning.train"
    tune: Tune
    source: CorpusSource | None
    seed: int


class RedecomposeSpec(Batched):
    """The rank to factor at: ``k+r`` joins the factors and is exact, ``k`` and a number truncate."""

    module = "lorap.tuning.rejoin"
    rank: Literal["k+r", "k"] | Count


class ExportSpec(Spec):
    """The form to export to."""

    module = "lorap.compression.dense"
    form: Literal["dense"]


class PerplexitySpec(Spec):
    """A perplexity protocol; ``source`` None means a text file given beside the spec."""

    module = "lorap.evaluation.perplexity"
    corpus: str
    source: TextSource | None
    seqlen: Window
    windows: Count | None
    batch: Count
    special_tokens: str
    dtype: Dtype


class CostSpec(Spec):
    """What to count and to time."""

    module = "lorap.evaluation.cost"
    cost: Cost
    dtype: Dtype

    def modules(self) -> set[str]:
        """Also those that load the model, whose form its times are of."""
        return super().modules() | {"lorap.tuning.loading"}


class ZeroshotSpec(Spec):
    """Tasks and how many documents of each, drawn with a seed."""

    module = "lorap.evaluation.zeroshot"
    zeroshot: Zeroshot
    seed: int
    dtype: Dtype


class SpectraSpec(Batched):
    """Activation-weighted spectra of a dense model's weights."""

    module = "lorap.evaluation.spectra"


class SuiteSpec(Spec):
    """How good a model is: all that is asked of it with one loading."""

    module = "lorap.evaluation.suite"
    perplexity: dict[Name, PerplexitySpec]
    zeroshot: ZeroshotSpec | None


class ReportSpec(Spec):
    """A grid, the definitions that it uses, and how they are shown."""

    module = "lorap.report.build"
    name: Name
    grid: Grid
    methods: dict[Name, Method]
    corpora: dict[Name, CorpusSource]
    calibrate: dict[Name, Calibrate]
    tune: dict[Name, Tune]
    perplexity: dict[Name, Perplexity]
    zeroshot: Zeroshot | None
    report: Report
