"""How a table is written: numbers as a person reads them, in Markdown and LaTeX; as they are, in CSV."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lorap.report.table import Table

LARGE = 1e6
LINE = 80  # characters of small type that fit a line of a page of LaTeX's article
NOTHING = "No cells of this grid."
LATEX = str.maketrans({
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", **{c: f"\\{c}" for c in "&%$#_{}"},
})  # fmt: skip


def write_table(table: Table, stem: Path, title: str, digits: int) -> None:
    """Writes ``stem``.csv, .md and .tex."""
    table.frame.to_csv(stem.with_suffix(".csv"), index=False, lineterminator="\n", float_format=exact)
    stem.with_suffix(".md").write_text(_markdown(table, title, digits), encoding="utf-8")
    stem.with_suffix(".tex").write_text(_latex(table, stem.name, title, digits), encoding="utf-8")


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


def numeric(table: Table) -> list[bool]:
    """Whether each shown column holds numbers."""
    return [pd.api.types.is_numeric_dtype(table.frame[name].dtype) for name in table.columns]


def shown(table: Table, digits: int) -> list[list[str]]:
    """The shown columns as text, a list a row."""
    columns = []
    for name, number in zip(table.columns, numeric(table), strict=True):
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
    sides = ["right" if number else "left" for number in numeric(table)]
    text = frame.to_markdown(index=False, disable_numparse=True, colalign=sides)
    notes = "".join(f"\n[{number}] {note}  " for number, note in enumerate(table.notes, 1))
    return f"**{title}**\n\n{text}\n{notes and notes + chr(10)}"


def _latex(table: Table, name: str, title: str, digits: int) -> str:
    """A float with booktabs rules, shrunk to the line where it is wider; needs booktabs and graphicx."""
    columns = [header(column) for column in table.columns]
    rows = shown(table, digits)
    widths = [max(map(len, texts)) for texts in zip(columns, *rows, strict=True)]
    wide = sum(widths) + 2 * len(widths) > LINE
    sides = "".join("r" if number else "l" for number in numeric(table))
    return "\n".join([
        r"\begin{table}", r"\centering", r"\small", rf"\caption{{{escaped(title)}}}", rf"\label{{tab:{name}}}",
        *([r"\resizebox{\linewidth}{!}{%"] if wide else []),
        rf"\begin{{tabular}}{{{sides}}}", r"\toprule", _latex_row(columns), r"\midrule",
        *_latex_body(table, rows),
        r"\bottomrule", r"\end{tabular}" + ("}" if wide else ""),
        *(rf"\par\footnotesize {number}: {escaped(note)}" for number, note in enumerate(table.notes, 1)),
        r"\end{table}", "",
    ])  # fmt: skip


def _latex_body(table: Table, rows: list[list[str]]) -> list[str]:
    """The rows, a rule between the blocks of a table that has one a sparsity."""
    if not rows:
        return [rf"\multicolumn{{{len(table.columns)}}}{{l}}{{{NOTHING}}} \\"]
    place = table.columns.index(table.marked)
    lines = []
    for index, (row, marks) in enumerate(zip(rows, table.marks, strict=True)):
        if index and table.columns[0] == "sparsity" and row[0] != rows[index - 1][0]:
            lines.append(r"\midrule")
        mark = rf"\textsuperscript{{{','.join(map(str, marks))}}}" if marks else ""
        lines.append(_latex_row(row, place, mark))
    return lines


def _latex_row(texts: Sequence[str], place: int = 0, mark: str = "") -> str:
    cells = [escaped(text) + (mark if index == place else "") for index, text in enumerate(texts)]
    return " & ".join(cells) + r" \\"


def escaped(text: str) -> str:
    """A text as LaTeX prints it."""
    return text.translate(LATEX)
