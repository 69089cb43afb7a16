"""How a table is written: numbers as a person reads them, in Markdown and LaTeX; as they are, in CSV."""

import math
from pathlib import Path
from typing import Any

import pandas as pd

from lorap.report.tables.latex import NOTHING, latex
from lorap.report.tables.sourced import Table

LARGE = 1e6


def write_table(table: Table, stem: Path, title: str, digits: int) -> None:
    """Writes ``stem``.csv, .md and .tex."""
    table.frame.to_csv(stem.with_suffix(".csv"), index=False, lineterminator="\n", float_format=exact)
    stem.with_suffix(".md").write_text(_markdown(table, title, digits), encoding="utf-8")
    columns = [header(name) for name in table.columns]
    text = latex(table, stem.name, title, columns, shown(table, digits))
    stem.with_suffix(".tex").write_text(text, encoding="utf-8")


def exact(value: Any) -> str:
    """A number for a program: counts with every digit, others with six."""
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.6g}"


def readable(value: Any, digits: int, whole: bool = False) -> str:
    """A cell for a person: nothing for what is not known, separators in large numbers, few digits in others.

    Args:
        value: A number or a text.
        digits: How many behind the point, of numbers from 1 on.
        whole: None behind the point, for one of a column of whole numbers.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if not isinstance(value, int | float):
        return str(value)
    if whole or abs(value) >= LARGE:
        return f"{value:,.0f}"
    return f"{value:,.{digits}f}" if abs(value) >= 1 else f"{value:.{digits + 1}g}"


def header(name: str) -> str:
    """The name of a column for a person."""
    return name.replace("_", " ")


def shown(table: Table, digits: int) -> list[list[str]]:
    """The shown columns as text, a list a row."""
    columns = []
    for name, number in zip(table.columns, table.numeric, strict=True):
        values = table.frame[name]
        whole = number and bool((values.dropna() % 1 == 0).all())
        columns.append([readable(value, digits, whole) for value in values])
    return [list(row) for row in zip(*columns, strict=True)]


def _markdown(table: Table, title: str, digits: int) -> str:
    if table.frame.empty:
        return f"**{title}**\n\n{NOTHING}\n"
    place = table.columns.index(table.marked)
    rows = shown(table, digits)
    for row, marks in zip(rows, table.marks, strict=True):
        row[place] += "".join(f" [{mark}]" for mark in marks)
    frame = pd.DataFrame(rows, columns=[header(name) for name in table.columns]).replace(r"\|", r"\\|", regex=True)
    sides = ["right" if number else "left" for number in table.numeric]
    text = frame.to_markdown(index=False, disable_numparse=True, colalign=sides)
    notes = "".join(f"\n[{number}] {note}  " for number, note in enumerate(table.notes, 1))
    return f"**{title}**\n\n{text}\n{notes and notes + chr(10)}"
