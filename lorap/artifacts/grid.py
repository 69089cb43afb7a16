"""A grid spelt out: its cells, and the spec of every step; no torch here."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from lorap.artifacts.specs import (
    CalibrateSpec,
    CompressSpec,
    FetchSpec,
    PerplexitySpec,
    RedecomposeSpec,
    ReportSpec,
    SpectraSpec,
    SuiteSpec,
    TuneSpec,
    ZeroshotSpec,
)
from lorap.errors import LorapError
from lorap.settings.config import lookup
from lorap.settings.schema import DECIMALS, Block, Grid, KeptAs, Params
from lorap.settings.sources import InstructionsCorpus

DENSE = "dense"
ADAPTER: KeptAs = "adapter"
RANKS: dict[str, Literal["k+r", "k"]] = {"exact": "k+r", "truncated": "k"}  # of `lorap redecompose`


@dataclass(frozen=True)
class Cell:
    """One model with one method, calibration and sparsity, tuned or not; without a method it is the dense model."""

    model: str
    calibration: str | None = None
    method: str | None = None
    sparsity: float = 0.0
    tuning: str | None = None
    kept_as: KeptAs | None = None

    @property
    def path(self) -> str:
        """Where the cell's artifacts are, below the folder of a step."""
        if self.method is None:
            return f"{self.model}/{DENSE}"
        sparsity = f"{self.sparsity:.{DECIMALS}f}".rstrip("0").rstrip(".")  # never 1e-05, which would not be read back
        parts = [self.model, self.calibration, f"{self.method}-{sparsity}", self.tuning, self.kept_as]
        return "/".join(part for part in parts if part)

    @property
    def tuned(self) -> "Cell":
        """The cell whose adapter this one has."""
        return replace(self, kept_as=None)

    @property
    def compressed(self) -> "Cell":
        """The cell that tuning starts from."""
        return replace(self, tuning=None, kept_as=None)


def compressed_cells(grid: Grid) -> list[Cell]:
    """The cells that compression makes, each once, in the order of the grid."""
    return list(dict.fromkeys(cell for cell, _ in _blocks(grid)))


def tuned_cells(grid: Grid) -> list[Cell]:
    """The cells that tuning makes."""
    return list(dict.fromkeys(cell.tuned for cell in recovered_cells(grid)))


def recovered_cells(grid: Grid) -> list[Cell]:
    """The tuned cells, once for every form in which a tuned model is kept and measured."""
    found = (
        replace(cell, tuning=tuning, kept_as=form)
        for cell, block in _blocks(grid)
        for tuning in block.tune or ()
        for form in block.kept_as or (ADAPTER,)
    )
    return list(dict.fromkeys(found))


def redecomposed_cells(grid: Grid) -> list[Cell]:
    """The tuned cells that are factored again."""
    return [cell for cell in recovered_cells(grid) if cell.kept_as in RANKS]


def all_cells(grid: Grid) -> list[Cell]:
    """The dense models of a grid, its compressed cells and what tuning makes of them: all that is measured."""
    return [Cell(model) for model in grid.models] + compressed_cells(grid) + recovered_cells(grid)


def wants_zeroshot(grid: Grid, cell: Cell) -> bool:
    """Whether the grid's zero-shot protocol is for this cell: dense, or in a block that asks for it."""
    if grid.zeroshot is None or cell.method is None:
        return grid.zeroshot is not None
    return any(block.zeroshot and _has(grid, block, cell) for block in grid.cells)


def _has(grid: Grid, block: Block, cell: Cell) -> bool:
    """Whether a block has a cell, tuned or not."""
    calibrations = block.calibrations or [grid.calibration]
    return cell.method in block.methods and cell.sparsity in block.sparsities and cell.calibration in calibrations


def _blocks(grid: Grid) -> Iterator[tuple[Cell, Block]]:
    """Every compressed cell with a block that it is in."""
    for model in grid.models:
        for block in grid.cells:
            for calibration in block.calibrations or [grid.calibration]:
                for method in block.methods:
                    for sparsity in block.sparsities:
                        yield Cell(model, calibration, method, sparsity), block


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


def redecompose_spec(params: Params, kept_as: str) -> RedecomposeSpec:
    """The spec of factoring a tuned model again."""
    return RedecomposeSpec(rank=RANKS[kept_as], batch=params.compress.batch).sealed()


def suite_spec(params: Params, grid: Grid, cell: Cell) -> SuiteSpec:
    """The spec of measuring a cell of a grid."""
    protocols = {name: perplexity_spec(params, name) for name in grid.perplexity}
    zeroshot = zeroshot_spec(params, grid.zeroshot) if grid.zeroshot and wants_zeroshot(grid, cell) else None
    return SuiteSpec(perplexity=protocols, cost=params.evaluate.cost, zeroshot=zeroshot).sealed()


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
    return ReportSpec(
        name=name,
        grid=grid,
        methods={cell.method: params.methods[cell.method] for cell in cells if cell.method},
        calibrate={used: params.calibrate[used] for _, used in calibrations(grid)},
        tune={cell.tuning: params.tune[cell.tuning] for cell in tuned_cells(grid) if cell.tuning},
        perplexity={protocol: params.evaluate.perplexity[protocol] for protocol in grid.perplexity},
        zeroshot=params.evaluate.zeroshot[grid.zeroshot] if grid.zeroshot else None,
        report=params.report,
    ).sealed()
