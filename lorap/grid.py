"""A grid spelt out: its cells, where each artifact is, and the spec of every step; no torch here."""

from collections.abc import Iterator
from dataclasses import dataclass

from lorap.config import lookup
from lorap.schema import Grid, Params
from lorap.specs import (
    CalibrateSpec,
    CompressSpec,
    FetchSpec,
    PerplexitySpec,
    ReportSpec,
    SpectraSpec,
    SuiteSpec,
)

DENSE = "dense"


@dataclass(frozen=True)
class Cell:
    """One model with one method, calibration and sparsity; without them it is the dense model."""

    model: str
    calibration: str | None = None
    method: str | None = None
    sparsity: float = 0.0

    @property
    def path(self) -> str:
        """Where the cell's artifacts are, below the folder of a step."""
        if self.method is None:
            return f"{self.model}/{DENSE}"
        sparsity = f"{self.sparsity:.10f}".rstrip("0").rstrip(".")  # never 1e-05, which would not be read back
        return f"{self.model}/{self.calibration}/{self.method}-{sparsity}"


def compressed_cells(grid: Grid) -> list[Cell]:
    """The cells that compression makes, each once, in the order of the grid."""
    found: dict[Cell, None] = {}
    for model in grid.models:
        for block in grid.cells:
            for calibration in block.calibrations or [grid.calibration]:
                for method in block.methods:
                    for sparsity in block.sparsities:
                        found[Cell(model, calibration, method, sparsity)] = None
    return list(found)


def all_cells(grid: Grid) -> list[Cell]:
    """The dense models of a grid and its compressed cells."""
    return [Cell(model) for model in grid.models] + compressed_cells(grid)


def calibrations(grid: Grid) -> Iterator[tuple[str, str]]:
    """(model, calibration) of every calibration file that the grid needs."""
    used = {grid.calibration: None} | {cell.calibration: None for cell in compressed_cells(grid) if cell.calibration}
    return ((model, name) for model in grid.models for name in used)


def fetch_spec(params: Params, model: str) -> FetchSpec:
    """The spec of getting a model."""
    return FetchSpec(name=model, model=lookup(params.models, model, "model")).sealed()


def calibrate_spec(params: Params, name: str) -> CalibrateSpec:
    """The spec of a calibration file."""
    chosen = lookup(params.calibrate, name, "calibration")
    source = params.corpora[chosen.corpus]
    return CalibrateSpec(
        corpus=chosen.corpus, source=source, nsamples=chosen.nsamples, seqlen=chosen.seqlen, seed=params.seed
    ).sealed()


def compress_spec(params: Params, method: str, sparsity: float) -> CompressSpec:
    """The spec of compressing a model."""
    chosen = lookup(params.methods, method, "method")
    return CompressSpec(method=chosen, sparsity=sparsity, **params.compress.model_dump()).sealed()


def suite_spec(params: Params, grid: Grid) -> SuiteSpec:
    """The spec of measuring a model of a grid."""
    protocols = {name: perplexity_spec(params, name) for name in grid.perplexity}
    return SuiteSpec(perplexity=protocols, cost=params.evaluate.cost).sealed()


def perplexity_spec(params: Params, name: str) -> PerplexitySpec:
    """The spec of a perplexity protocol."""
    protocol = lookup(params.evaluate.perplexity, name, "perplexity protocol")
    source = params.corpora[protocol.corpus]
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
    return ReportSpec(
        name=name,
        grid=grid,
        methods={cell.method: params.methods[cell.method] for cell in cells if cell.method},
        calibrate={used: params.calibrate[used] for _, used in calibrations(grid)},
        perplexity={protocol: params.evaluate.perplexity[protocol] for protocol in grid.perplexity},
        report=params.report,
    ).sealed()
