"""Where the artifacts of a grid are, by the table of steps; no torch here."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from lorap.artifacts.grid import Cell
from lorap.artifacts.step import Methods, Output, Step
from lorap.artifacts.steps import STAGES, STEPS, measured_by
from lorap.settings.schema import Grid


def jobs(grid: Grid, methods: Methods) -> Iterator[tuple[Step, Cell]]:
    """Every step with every cell of a grid that it is run for, each after those whose artifacts it takes."""
    return ((step, cell) for step in STEPS.values() for cell in step.cells(grid, methods))


def output(step: str, cell: Cell) -> Output:
    """What a step makes of a cell, where that is one artifact."""
    (made,) = STEPS[step].outputs
    return made.of(cell)


def measured(cell: Cell) -> str:
    """The folder with the measurements of a cell, below the grid's folder."""
    return STEPS[measured_by(cell)].out.format_map(cell.wildcards)


def holder_of(cell: Cell) -> str:
    """The step that makes the model which is measured for a cell, an adapter beside it aside."""
    return STEPS[measured_by(cell)].inputs["model"]


def log(step: str, kind: str = "log") -> str:
    """The log of a step's jobs, or the table of their benchmarks (``tsv``), below the folder of the repository."""
    return f"logs/{{grid}}/{PurePosixPath(STEPS[step].out).with_suffix('')}.{kind}"


def needs(stage: str) -> tuple[str, ...]:
    """The stages whose results a stage takes, in their order."""
    taken = {STEPS[source].stage for step in STAGES[stage] for source in step.inputs.values()}
    return tuple(other for other in STAGES if other in taken)
