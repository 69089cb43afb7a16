"""Tables in LaTeX: floats with booktabs rules that fit a page; a document needs booktabs and graphicx."""

from collections.abc import Sequence
from itertools import groupby

from lorap.report.tables.sourced import Table

LINE = 80  # characters of small type that fit a line of a page of LaTeX's article
PAGE = 42  # and lines of them
NOTHING = "No cells of this grid."
SPECIAL = str.maketrans({
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", **{c: f"\\{c}" for c in "&%$#_{}"},
})  # fmt: skip
Row = tuple[list[str], list[int]]  # texts and the numbers of notes


def latex(table: Table, name: str, title: str, columns: Sequence[str], rows: list[list[str]]) -> str:
    """A table as a float, shrunk to the line where it is wider; one too high for a page is a float a sparsity.

    Args:
        table: The table.
        name: Of its label.
        title: Its caption.
        columns: The headers as they are shown.
        rows: The texts as they are shown.
    """
    marked = list(zip(rows, table.marks, strict=True))
    if len(rows) * min(1, LINE / _width(columns, rows)) <= PAGE or table.columns[0] != "sparsity":
        return _float(table, name, title, columns, marked)
    blocks = [(sparsity, list(block)) for sparsity, block in groupby(marked, key=lambda row: row[0][0])]
    return "\n".join(
        _float(table, f"{name}-{sparsity}", f"{title}: sparsity {sparsity}", columns, block)
        for sparsity, block in blocks
    )


def escaped(text: str) -> str:
    """A text as LaTeX prints it."""
    return text.translate(SPECIAL)


def _width(columns: Sequence[str], rows: list[list[str]]) -> int:
    """Characters of the longest texts side by side, with the space between them."""
    return sum(max(map(len, texts)) + 2 for texts in zip(columns, *rows, strict=True))


def _float(table: Table, name: str, title: str, columns: Sequence[str], rows: list[Row]) -> str:
    wide = _width(columns, [texts for texts, _ in rows]) > LINE
    sides = "".join("r" if number else "l" for number in table.numeric)
    used = sorted({mark for _, marks in rows for mark in marks})
    return "\n".join([
        r"\begin{table}", r"\centering", r"\small", rf"\caption{{{escaped(title)}}}", rf"\label{{tab:{name}}}",
        *([r"\resizebox{\linewidth}{!}{%"] if wide else []),
        rf"\begin{{tabular}}{{{sides}}}", r"\toprule", _row(columns), r"\midrule",
        *_body(table, rows),
        r"\bottomrule", r"\end{tabular}" + ("}" if wide else ""),
        *(rf"\par\footnotesize {number}: {escaped(table.notes[number - 1])}" for number in used),
        r"\end{table}", "",
    ])  # fmt: skip


def _body(table: Table, rows: list[Row]) -> list[str]:
    """The rows, a rule between the blocks of a table that has one a sparsity."""
    if not rows:
        return [rf"\multicolumn{{{len(table.columns)}}}{{l}}{{{NOTHING}}} \\"]
    place = table.columns.index(table.marked)
    lines = []
    for index, (texts, marks) in enumerate(rows):
        if index and table.columns[0] == "sparsity" and texts[0] != rows[index - 1][0][0]:
            lines.append(r"\midrule")
        mark = rf"\textsuperscript{{{','.join(map(str, marks))}}}" if marks else ""
        lines.append(_row(texts, place, mark))
    return lines


def _row(texts: Sequence[str], place: int = 0, mark: str = "") -> str:
    cells = [escaped(text) + (mark if index == place else "") for index, text in enumerate(texts)]
    return " & ".join(cells) + r" \\"
