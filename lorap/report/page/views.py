"""Tables as a page shows them: what was measured apart from what is published, and narrow enough for a screen."""

from collections.abc import Iterable
from itertools import takewhile
from typing import Any

import pandas as pd

from lorap.artifacts import catalogue
from lorap.report.page.origins import Origins
from lorap.report.tables.formats import exact, header, shown
from lorap.report.tables.main_table import DIFFERENCE
from lorap.report.tables.ratio_tables import DEVIATION
from lorap.report.tables.sourced import CELL, MEASURED, SOURCE, Origin, Table, records

METHOD = "method"  # the column that names a row, where there is one
FOLDED = {"tuning": ", ", "seeds": " "}  # tables with a column for each measure and form, and what stands between them
MEASURE = "measure"
# Columns that stand below the numbers of another one: their names, how they are written, and what they are.
BELOW = {DIFFERENCE: ("{:+.2f}", "measured minus published"), DEVIATION: ("\N{PLUS-MINUS SIGN} {:.3g}", "deviation")}


def section(name: str, table: Table, origins: Origins, digits: int) -> dict[str, Any]:
    """What a page says of a table: its name and title, the rows that were measured, and those that are published."""
    published = table.frame[CELL].isna() if CELL in table.frame else pd.Series(False, index=table.frame.index)
    measured = part_of(table, table.frame.index[~published])
    return {
        "name": name,
        "title": catalogue.TABLES[name],
        "measured": _view(folded(measured, FOLDED[name]) if name in FOLDED else measured, origins, digits),
        "published": _view(part_of(table, table.frame.index[published]), origins, digits),
    }


def part_of(table: Table, rows: Iterable[int]) -> Table:
    """Some rows of a table, without the columns that are empty in all of them."""
    place = {row: index for index, row in enumerate(rows)}
    frame = table.frame.loc[list(place)].reset_index(drop=True)
    empty = [name for name in table.columns if frame[name].isna().all()]
    origins = {(place[row], name): origin for (row, name), origin in table.origins.items() if row in place}
    return Table(frame.drop(columns=empty), origins)


def folded(table: Table, between: str) -> Table:
    """A table with a row for each measure in place of columns named after a measure and a form of it."""
    keys = _keys(table)
    forms = {name: name.rpartition(between)[::2] for name in table.columns if name not in keys}
    rows: list[dict[str, Any]] = []
    origins: dict[tuple[int, str], Origin] = {}
    for index, row in enumerate(records(table.frame)):
        for measure in dict.fromkeys(measure for measure, _ in forms.values()):
            for name in (name for name in forms if forms[name][0] == measure and (index, name) in table.origins):
                origins[len(rows), forms[name][1]] = table.origins[index, name]
            values = {form: row[name] for name, (of, form) in forms.items() if of == measure}
            rows.append({key: row[key] for key in keys} | {MEASURE: measure} | values)
    return Table(
        pd.DataFrame(rows, columns=[*keys, MEASURE, *dict.fromkeys(form for _, form in forms.values())]), origins
    )


def _view(table: Table, origins: Origins, digits: int) -> dict[str, Any]:
    """A table as the template wants it: what is the same in all rows, then columns, rows of cells, and notes."""
    if table.frame.empty:
        return {"rows": []}
    texts = pd.DataFrame(shown(table, digits), columns=table.columns)
    common = [name for name in _keys(table) if name != METHOD and texts[name].nunique() == 1]
    said = [f"{header(name)} {texts[name][0]}" for name in common]
    if SOURCE in table.frame and table.frame[SOURCE].nunique() == 1:  # then its notes need no marks
        said, common = [*said, *(note.removeprefix(f"{MEASURED}, ") for note in table.notes)], [*common, SOURCE]
    table = Table(table.frame.drop(columns=common), table.origins)
    kinds = _kinds(table)
    below = {form.format(name) for form in BELOW for name in table.columns}
    columns = {name: kind for name, kind in kinds.items() if name not in below}
    rows = [
        [
            _cell(table, row, name, texts, origins) | {"kind": kind, "marks": marks if kind == "key" else []}
            for name, kind in columns.items()
        ]
        for row, marks in enumerate(table.marks)
    ]
    heads = [{"name": header(name), "kind": kind} for name, kind in columns.items()]
    return {"common": said, "columns": heads, "rows": rows, "notes": table.notes}


def _keys(table: Table) -> list[str]:
    """The columns that say what a row is of; those of measured numbers follow them."""
    numbers = {name for _, name in table.origins}
    return list(takewhile(lambda name: name not in numbers, table.columns))


def _kinds(table: Table) -> dict[str, str]:
    """Of every column whether it names the row, or holds numbers or texts."""
    kinds = {name: "number" if n else "text" for name, n in zip(table.columns, table.numeric, strict=True)}
    names = [METHOD, *(name for name, kind in kinds.items() if kind == "text"), *kinds]
    return kinds | {next(name for name in names if name in kinds): "key"}


def _cell(table: Table, row: int, name: str, texts: pd.DataFrame, origins: Origins) -> dict[str, Any]:
    """A cell; below a number stands how far it is from the published one, or how much it varies."""
    value, origin = table.frame[name][row], table.origins.get((row, name))
    found = [
        (table.frame[form.format(name)][row], *how) for form, how in BELOW.items() if form.format(name) in table.frame
    ]
    return {
        "text": texts[name][row],
        "order": exact(value) if isinstance(value, float) and pd.notna(value) else "",
        "origin": origins.number(origin) if origin else None,
        "below": [(how.format(number), what) for number, how, what in found if pd.notna(number)],
    }
