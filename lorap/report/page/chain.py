"""The steps of a grid and how far each has come: what the page draws, and what it warns of."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lorap.artifacts import catalogue, names
from lorap.artifacts.grid import Cell, all_cells, wants_zeroshot
from lorap.artifacts.places import measured, needs
from lorap.artifacts.specs import ReportSpec
from lorap.artifacts.step import Step
from lorap.artifacts.steps import STAGES
from lorap.report.read.results import read_optional

MAKES = {  # in a few words, for the picture
    "models": "base models",
    "calibrate": "windows of tokens",
    "survey": "error curves",
    "compress": "factors, channels",
    "tune": "adapters",
    "redecompose": "refactored models",
    "evaluate": "measurements",
    "report": "tables, figures",
}


@dataclass(frozen=True)
class Progress:
    """A stage of the workflow: what it makes of which stages' results, and what of it is there."""

    name: str
    makes: str
    needs: tuple[str, ...]
    wanted: int
    missing: list[str]


def chain(spec: ReportSpec, folder: Path) -> list[Progress]:
    """The stages that the grid has, in the order of the rules; one that makes nothing is left out."""
    lacking = {measured(cell): lacks(spec, folder, cell) for cell in all_cells(spec.grid)}
    found = []
    for stage, steps in STAGES.items():
        made = dict(
            _made(lacking, folder, step, cell) for step in steps for cell in step.cells(spec.grid, spec.methods)
        )
        wanted = len(catalogue.TABLES) + len(catalogue.FIGURES) if stage == "report" else len(made)
        missing = [name for name, there in made.items() if not there]
        found.append(Progress(stage, MAKES[stage], needs(stage), wanted, missing))
    return [progress for progress in found if progress.wanted]


def _made(lacking: Mapping[str, list[str]], folder: Path, step: Step, cell: Cell) -> tuple[str, bool]:
    """What a step makes of a cell, and whether it is there; a report that is being written counts as there.

    The measurements of a cell, which two steps take, count as one: ``lacking`` says by their folder what lacks.
    """
    made = step.outputs[0].of(cell)
    if made.root in lacking:
        return made.root, not lacking[made.root]
    return made.meta, step.takes_all or (folder / made.meta).is_file()


def lacks(spec: ReportSpec, folder: Path, cell: Cell) -> list[str]:
    """The measurements that a cell should have and has not."""
    place = folder / measured(cell)
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
