"""Compares the tables of two runs of a grid: every number by a relative tolerance, every text exactly."""

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lorap.artifacts import catalogue
from lorap.errors import LorapError
from lorap.methods.registry import SLOTS, options
from lorap.report.tables.ablations import SEED_KEYS, SET
from lorap.report.tables.main_table import DIFFERENCE, KEYS
from lorap.report.tables.paired_table import ABOVE, ERROR, TIMES
from lorap.report.tables.ratio_tables import DEVIATION, STEP_KEYS
from lorap.report.tables.sourced import CELL, SOURCE
from lorap.report.tables.tuning_tables import BASE, CHANGE
from lorap.workflow.snapshot import Tables

Row = Mapping[str, str]
# What tells one row of a table from another; elsewhere it is the cell, of published rows what and where it is.
ROW_KEYS = {
    "tuning.csv": (*BASE, "tuning"),
    "redecompose.csv": (CELL, "tuning", "kept_as"),
    "seeds.csv": (*SEED_KEYS, *SET),
    "ratio.csv": (*SEED_KEYS, *SET),
    "paired.csv": (*SEED_KEYS, *SET),
    "steps.csv": STEP_KEYS,
    catalogue.SWEEP: (CELL, "text"),
}
PUBLISHED_KEYS = (*KEYS, SOURCE)
SETTING_NAMES = (*SLOTS, *(option.name for option in options()))
WORDS = {
    *KEYS,
    *SETTING_NAMES,
    "calibration",
    *SEED_KEYS,
    *SET,
    "tuning",
    "kept_as",
    "form",
    "text",
    SOURCE,
    CELL,
}  # settings, not results
# Differences and spreads of numbers that are compared themselves: a relative tolerance means nothing there.
DERIVED = (DIFFERENCE.format(""), CHANGE, DEVIATION.format(""), ABOVE, ERROR, TIMES)


@dataclass(frozen=True)
class Difference:
    """A place at which two runs differ; without a column it is a whole row, without a row a whole table.

    ``relative`` is of two numbers: their difference over the old one.
    """

    table: str
    row: str
    column: str
    was: str
    now: str
    relative: float | None
    within: bool

    def __str__(self) -> str:
        place = ": ".join(part for part in (self.table, self.row, self.column) if part)
        change = "" if self.relative is None else f" ({self.relative:+.3%}{'' if self.within else ', beyond'})"
        return f"{place}: was {self.was or 'empty'}, is {self.now or 'empty'}{change}"


@dataclass
class Comparison:
    """How many measured numbers there are in rows of both runs, how many of them agree, and all that differs.

    ``made_otherwise`` tells versions and processors that are not the same, which is why numbers may differ.
    """

    numbers: int = 0
    within: int = 0
    differences: list[Difference] = field(default_factory=list)
    made_otherwise: list[str] = field(default_factory=list)

    @property
    def beyond(self) -> list[Difference]:
        """The differences that no tolerance allows."""
        return [difference for difference in self.differences if not difference.within]

    def summary(self, tolerance: float, reference: str) -> str:
        """How many numbers agree, and how much else does not."""
        others = len(self.beyond) - (self.numbers - self.within)
        rest = f"; {others} other difference{'s' * (others > 1)}" if others else ""
        return f"{self.within} of {self.numbers} numbers within {100 * tolerance:g} % of {reference}{rest}"


def compare(was: Tables, now: Tables, tolerance: float) -> Comparison:
    """Compares the tables of two runs.

    Args:
        was: The tables that are known.
        now: Those of another run.
        tolerance: The largest difference of two numbers that agree, as a share of the old one.

    Raises:
        LorapError: A file is not a table of this version's report.
    """
    found = Comparison(made_otherwise=_made_otherwise(was.made_with, now.made_with))
    for name in sorted({*was.texts, *now.texts}):
        if name not in was.texts or name not in now.texts:
            found.differences.append(_only(name, "", "table", name in now.texts))
            continue
        old, new = _rows(was, name), _rows(now, name)
        for row in dict.fromkeys([*old, *new]):
            if row not in old or row not in new:
                found.differences.append(_only(name, row, "row", row in new))
                continue
            _compare_row(found, name, row, old[row], new[row], tolerance)
    return found


def _compare_row(found: Comparison, table: str, name: str, old: Row, new: Row, tolerance: float) -> None:
    published = CELL in old and not old[CELL]  # a fact, that nobody measured again
    for column in dict.fromkeys([*old, *new]):
        was, now = old.get(column, ""), new.get(column, "")
        if column.endswith(DERIVED):
            continue
        values = [] if column in WORDS else [number for text in (was, now) if (number := _number(text)) is not None]
        relative = _relative(*values) if len(values) == 2 else None
        lacking = column in SETTING_NAMES and "" in (was, now)  # since 0.2 a setting that a treatment lacks is empty
        close = relative is not None and not published and abs(relative) <= tolerance
        within = was == now or lacking or close
        if values and not published:
            found.numbers += 1
            found.within += within
        if was != now:
            found.differences.append(Difference(table, name, column, was, now, relative, within))


def _made_otherwise(was: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [f"{name} {now[name]} (was {was[name]})" for name in was if name in now and was[name] != now[name]]


def _only(table: str, row: str, what: str, is_new: bool) -> Difference:
    was, now = (f"no such {what}", "there") if is_new else ("there", f"no such {what}")
    return Difference(table, row, "", was, now, None, within=False)


def _rows(tables: Tables, name: str) -> dict[str, Row]:
    """The rows of a table by what tells them apart."""
    rows: dict[str, Row] = {}
    other = f"{tables.place}: {name} is not what this version of lorap writes"
    text = tables.texts[name]
    for row in _metrics(text, other) if name == catalogue.METRICS else csv.DictReader(io.StringIO(text)):
        keys = ROW_KEYS.get(name) or ((CELL,) if row.get(CELL, "") or CELL not in row else PUBLISHED_KEYS)
        if missing := [key for key in keys if key not in row]:
            raise LorapError(f"{other}, it has no column {missing[0]}; make the report again")
        if None in row or None in row.values():
            raise LorapError(f"{other}, a row is not as long as its head; make the report again")
        known_as = ", ".join(row[key] for key in keys if row[key])
        if known_as in rows:
            raise LorapError(f"{other}, two rows are of {known_as}; make the report again")
        rows[known_as] = row
    return rows


def _metrics(text: str, other: str) -> Iterator[Row]:
    """A row for each cell of metrics.json."""
    try:
        for cell, values in json.loads(text).items():
            yield {CELL: cell} | {name: str(value) for name, value in values.items()}
    except (ValueError, AttributeError) as error:
        raise LorapError(f"{other} ({error}); make the report again") from error


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _relative(was: float, now: float) -> float:
    if was == now:
        return 0.0
    return (now - was) / abs(was) if was and math.isfinite(was) else math.copysign(math.inf, now - was)
