"""A grid spelt out: its cells, and what they are called; no torch here."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from lorap.settings.method import Method
from lorap.settings.schema import DECIMALS, Block, Grid, KeptAs

# The names of cells; they are part of every path below a grid's folder.
DENSE = "{model}/dense"
COMPRESSED = "{model}/{calibration}/{method}-{sparsity}"
TUNED = f"{COMPRESSED}/{{tuning}}"
KEPT = f"{TUNED}/{{kept_as}}"
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
    def wildcards(self) -> dict[str, str]:
        """The texts that stand for the cell in paths, those that it has."""
        sparsity = f"{self.sparsity:.{DECIMALS}f}".rstrip("0").rstrip(".")  # never 1e-05, which would not be read back
        found = vars(self) | {"sparsity": sparsity}
        return {name: text for name, text in found.items() if text is not None}

    @property
    def path(self) -> str:
        """What the cell is called in tables, which is where its artifacts are below the folder of a step."""
        if self.method is None:
            name = DENSE
        elif self.tuning is None:
            name = COMPRESSED
        else:
            name = TUNED if self.kept_as is None else KEPT
        return name.format_map(self.wildcards)

    @property
    def tuned(self) -> "Cell":
        """The cell whose adapter this one has."""
        return replace(self, kept_as=None)


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


def timed_cells(grid: Grid) -> list[Cell]:
    """The cells whose cost is measured: of those that differ by their calibration alone, the grid's own or the first.

    They are of one size, but for what a survey of other windows moves.
    """
    chosen: dict[Cell, Cell] = {}
    for cell in all_cells(grid):
        alike = replace(cell, calibration=None)
        if alike not in chosen or cell.calibration == grid.calibration:
            chosen[alike] = cell
    return list(chosen.values())


def wants_zeroshot(grid: Grid, cell: Cell) -> bool:
    """Whether the grid's zero-shot protocol is for this cell: dense, or in a block that asks for it."""
    if grid.zeroshot is None or cell.method is None:
        return grid.zeroshot is not None
    return any(block.zeroshot and _has(grid, block, cell) for block in grid.cells)


def _has(grid: Grid, block: Block, cell: Cell) -> bool:
    """Whether a block has a cell, tuned or not."""
    calibrations = block.calibrations or [grid.calibration]
    if cell.model not in (block.models or grid.models):
        return False
    return cell.method in block.methods and cell.sparsity in block.sparsities and cell.calibration in calibrations


def _blocks(grid: Grid) -> Iterator[tuple[Cell, Block]]:
    """Every compressed cell with a block that it is in."""
    for model in grid.models:
        for block in (block for block in grid.cells if model in (block.models or grid.models)):
            for calibration in block.calibrations or [grid.calibration]:
                for method in block.methods:
                    for sparsity in block.sparsities:
                        yield Cell(model, calibration, method, sparsity), block


def surveyed_cells(grid: Grid, methods: Mapping[str, Method]) -> list[Cell]:
    """The models and calibrations for which some method wants a survey, each once."""
    found = (Cell(cell.model, cell.calibration) for cell in compressed_cells(grid) if is_surveyed(cell, methods))
    return list(dict.fromkeys(found))


def is_surveyed(cell: Cell, methods: Mapping[str, Method]) -> bool:
    """Whether a cell's method wants a survey."""
    return cell.method is not None and methods[cell.method].share.surveyed


def calibrations(grid: Grid) -> Iterator[tuple[str, str]]:
    """(model, calibration) of every calibration file that the grid needs."""
    used = {grid.calibration: None} | {cell.calibration: None for cell in compressed_cells(grid) if cell.calibration}
    return ((model, name) for model in grid.models for name in used)
