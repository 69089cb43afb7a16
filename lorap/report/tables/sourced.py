"""A table: its values as they are, where each comes from, and how the notes below it are numbered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd

from lorap.report.read.published import JOIN

MEASURED = "this run"  # the source of a row that needs no note
SOURCE, CELL = "source", "cell"


class Origin(NamedTuple):
    """Where a number comes from: a measurement of cells, by what; or, without cells, a publication."""

    cells: tuple[str, ...]
    measure: str


@dataclass(frozen=True)
class Table:
    """Rows of values; columns ``source`` and ``cell`` tell of the row and are in the CSV only.

    ``origins`` has an entry for each number, by row and column, whose origin is known.
    """

    frame: pd.DataFrame
    origins: Mapping[tuple[int, str], Origin] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """The columns that a reader sees."""
        return [name for name in self.frame.columns if name not in (SOURCE, CELL)]

    @property
    def numeric(self) -> list[bool]:
        """Whether each of those columns holds numbers."""
        return [pd.api.types.is_numeric_dtype(self.frame[name].dtype) for name in self.columns]

    @property
    def notes(self) -> list[str]:
        """Sources and remarks of the rows, in the order of their first use; they are numbered from 1."""
        sources = self.frame.get(SOURCE, pd.Series(dtype=str))
        return list(dict.fromkeys(note for source in sources for note in _notes(source)))

    @property
    def marks(self) -> list[list[int]]:
        """For every row the numbers of its notes."""
        if SOURCE not in self.frame:
            return [[] for _ in range(len(self.frame))]
        numbers = {note: number for number, note in enumerate(self.notes, 1)}
        return [[numbers[note] for note in _notes(source)] for source in self.frame[SOURCE]]

    @property
    def marked(self) -> str:
        """The column that the marks stand in."""
        return "method" if "method" in self.columns else self.columns[0]


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows, as values by column."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def stacked(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Frames below each other, with all of their columns."""
    return pd.concat(list(frames), ignore_index=True)


def with_origins(frame: pd.DataFrame, measures: Mapping[str, str]) -> Table:
    """A table of rows that are cells or publications.

    Args:
        frame: Rows with a source, and the path of their cell where they are measured.
        measures: Columns of numbers, and what measures each.
    """
    frame = frame.reset_index(drop=True)
    origins: dict[tuple[int, str], Origin] = {}
    for index, row in enumerate(records(frame)):
        measured = isinstance(row[CELL], str)
        for name, measure in measures.items():
            if name in row and pd.notna(row[name]):
                origins[index, name] = Origin((row[CELL],), measure) if measured else Origin((), row[SOURCE])
    return Table(frame, origins)


def _notes(source: str) -> list[str]:
    return [part for part in source.split(JOIN) if part != MEASURED]
