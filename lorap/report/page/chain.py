"""The steps of a grid and how far each has come: what the page draws, and what it warns of."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lorap.artifacts import names, places
from lorap.artifacts.grid import (
    Cell,
    all_cells,
    calibrations,
    compressed_cells,
    redecomposed_cells,
    tuned_cells,
    wants_zeroshot,
)
from lorap.artifacts.names import META
from lorap.artifacts.specs import ReportSpec
from lorap.report import catalogue
from lorap.report.read.results import read_optional

NEEDS: dict[str, tuple[str, ...]] = {  # what the rules take from the results of other steps
    "models": (),
    "calibrate": ("models",),
    "compress": ("models", "calibrate"),
    "tune": ("compress",),
    "redecompose": ("calibrate", "compress", "tune"),
    "evaluate": ("models", "calibrate", "compress", "tune", "redecompose"),
    "report": ("compress", "tune", "redecompose", "evaluate"),
}


@dataclass(frozen=True)
class Step:
    """A step of the workflow: what it makes of which steps' results, and what of it is there."""

    name: str
    makes: str
    needs: tuple[str, ...]
    wanted: int
    missing: list[str]


def chain(spec: ReportSpec, folder: Path) -> list[Step]:
    """The steps that the grid has, in the order of the rules; one that makes nothing is left out."""
    grid = spec.grid
    measured = {places.measured(cell): not lacks(spec, folder, cell) for cell in all_cells(grid)}
    spectra = _present(folder, [places.spectra(model) for model in grid.models])
    made = _present(folder, [places.manifest(model) for model in grid.models])
    windows = _present(folder, [places.calibration(model, name) for model, name in calibrations(grid)])
    compressed = _present(folder, [f"{places.compressed(cell)}/{META}" for cell in compressed_cells(grid)])
    tuned = _present(folder, [f"{places.tuned(cell)}/{META}" for cell in tuned_cells(grid)])
    again = _present(folder, [f"{places.redecomposed(cell)}/{META}" for cell in redecomposed_cells(grid)])
    shown = len(catalogue.TABLES) + len(catalogue.FIGURES)
    steps = [
        _step("models", "base models", made),
        _step("calibrate", "windows of tokens", windows),
        _step("compress", "factors, channels", compressed),
        _step("tune", "adapters", tuned),
        _step("redecompose", "factors again", again),
        _step("evaluate", "measurements", measured | spectra),
        Step("report", "tables, figures", NEEDS["report"], shown, []),
    ]
    return [step for step in steps if step.wanted]


def lacks(spec: ReportSpec, folder: Path, cell: Cell) -> list[str]:
    """The measurements that a cell should have and has not."""
    place = folder / places.measured(cell)
    return [*_lacks(spec, place), *(["zero-shot"] if _lacks_tasks(spec, place, cell) else [])]


def _lacks(spec: ReportSpec, place: Path) -> Iterator[str]:
    perplexities = read_optional(place / names.PERPLEXITY) or {}
    yield from (f"perplexity {name}" for name in spec.perplexity if name not in perplexities)
    if not (place / names.COST).is_file():
        yield "cost"


def _lacks_tasks(spec: ReportSpec, place: Path, cell: Cell) -> bool:
    if spec.zeroshot is None or not wants_zeroshot(spec.grid, cell):
        return False
    tasks = (read_optional(place / names.ZEROSHOT) or {"tasks": {}})["tasks"]
    return not set(spec.zeroshot.tasks) <= set(tasks)


def _present(folder: Path, files: list[str]) -> dict[str, bool]:
    return {file: (folder / file).is_file() for file in files}


def _step(name: str, makes: str, there: dict[str, bool]) -> Step:
    return Step(name, makes, NEEDS[name], len(there), [file for file, is_there in there.items() if not is_there])
