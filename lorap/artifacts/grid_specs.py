"""The spec of every step of a grid, from params.yaml; no torch here."""

from lorap.artifacts.grid import RANKS, Cell, calibrations, compressed_cells, tuned_cells, wants_zeroshot
from lorap.artifacts.specs import (
    CalibrateSpec,
    CompressSpec,
    CostSpec,
    FetchSpec,
    PerplexitySpec,
    RedecomposeSpec,
    ReportSpec,
    SpectraSpec,
    SuiteSpec,
    SurveySpec,
    TuneSpec,
    ZeroshotSpec,
)
from lorap.errors import LorapError
from lorap.settings.config import lookup
from lorap.settings.schema import Grid, Params
from lorap.settings.sources import InstructionsCorpus


def fetch_spec(params: Params, model: str) -> FetchSpec:
    """The spec of getting a model."""
    return FetchSpec(name=model, model=lookup(params.models, model, "model")).sealed()


def calibrate_spec(params: Params, name: str) -> CalibrateSpec:
    """The spec of a calibration file."""
    chosen = lookup(params.calibrate, name, "calibration")
    source = params.corpora[chosen.corpus]
    if isinstance(source, InstructionsCorpus):
        raise LorapError(f"calibrate.{name}.corpus: {chosen.corpus} holds instructions, expected a corpus of text")
    seed = params.seed if chosen.seed is None else chosen.seed
    return CalibrateSpec(
        corpus=chosen.corpus, source=source, nsamples=chosen.nsamples, seqlen=chosen.seqlen, seed=seed
    ).sealed()


def compress_spec(params: Params, method: str, sparsity: float) -> CompressSpec:
    """The spec of compressing a model."""
    chosen = lookup(params.methods, method, "method")
    return CompressSpec(method=chosen, sparsity=sparsity, **params.compress.model_dump()).sealed()


def tune_spec(params: Params, name: str) -> TuneSpec:
    """The spec of tuning a compressed model."""
    chosen = lookup(params.tune, name, "tuning")
    return TuneSpec(tune=chosen, source=params.corpora[chosen.corpus], seed=params.seed).sealed()


def survey_spec(params: Params) -> SurveySpec:
    """The spec of surveying a dense model."""
    how = params.compress
    return SurveySpec(survey=params.survey, dtype=how.dtype, batch=how.batch, offload=how.offload).sealed()


def redecompose_spec(params: Params, kept_as: str) -> RedecomposeSpec:
    """The spec of factoring a tuned model again."""
    return RedecomposeSpec(rank=RANKS[kept_as], batch=params.compress.batch).sealed()


def suite_spec(params: Params, grid: Grid, cell: Cell) -> SuiteSpec:
    """The spec of measuring how good a cell of a grid is."""
    protocols = {name: perplexity_spec(params, name) for name in grid.perplexity}
    zeroshot = zeroshot_spec(params, grid.zeroshot) if grid.zeroshot and wants_zeroshot(grid, cell) else None
    return SuiteSpec(perplexity=protocols, zeroshot=zeroshot).sealed()


def cost_spec(params: Params) -> CostSpec:
    """The spec of measuring what a model costs."""
    return CostSpec(cost=params.evaluate.cost, dtype="auto").sealed()


def zeroshot_spec(params: Params, name: str) -> ZeroshotSpec:
    """The spec of a zero-shot protocol."""
    protocol = lookup(params.evaluate.zeroshot, name, "zero-shot protocol")
    return ZeroshotSpec(zeroshot=protocol, seed=params.seed, dtype="auto")


def perplexity_spec(params: Params, name: str) -> PerplexitySpec:
    """The spec of a perplexity protocol."""
    protocol = lookup(params.evaluate.perplexity, name, "perplexity protocol")
    source = params.corpora[protocol.corpus]
    if isinstance(source, InstructionsCorpus):
        raise LorapError(f"evaluate.perplexity.{name}.corpus: {protocol.corpus} holds instructions, expected text")
    return PerplexitySpec(
        corpus=protocol.corpus,
        source=source,
        seqlen=protocol.seqlen,
        windows=protocol.windows,
        batch=params.evaluate.batch,
        special_tokens=getattr(source, "special_tokens", "text"),
        dtype="auto",
    )


def spectra_spec(params: Params) -> SpectraSpec:
    """The spec of the spectra of a dense model."""
    return SpectraSpec(batch=params.compress.batch).sealed()


def report_spec(params: Params, name: str) -> ReportSpec:
    """The spec of a grid's report: the grid and every definition that it uses."""
    grid = lookup(params.grids, name, "grid")
    cells = compressed_cells(grid)
    drawn = {used: params.calibrate[used] for _, used in calibrations(grid)}
    measured = {protocol: params.evaluate.perplexity[protocol] for protocol in grid.perplexity}
    texts = [*(one.corpus for one in drawn.values()), *(one.corpus for one in measured.values())]
    return ReportSpec(
        name=name,
        grid=grid,
        methods={cell.method: params.methods[cell.method] for cell in cells if cell.method},
        corpora={corpus: params.corpora[corpus] for corpus in texts},
        calibrate=drawn,
        tune={cell.tuning: params.tune[cell.tuning] for cell in tuned_cells(grid) if cell.tuning},
        perplexity=measured,
        zeroshot=params.evaluate.zeroshot[grid.zeroshot] if grid.zeroshot else None,
        report=params.report,
    ).sealed()
