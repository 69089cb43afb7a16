"""How a table is written: numbers as a person reads them, in Markdown and LaTeX; as they are, in CSV."""

import math
from pathlib import Path
from typing import Any

import pandas as pd

LARGE = 1e6


def write_table(table: pd.DataFrame, stem: Path, title: str, digits: int) -> None:
    """Writes ``stem``.csv, .md and .tex."""
    table.to_csv(stem.with_suffix(".csv"), index=False, lineterminator="\n", float_format="%.6g")
    shown = table.map(lambda value: readable(value, digits)).rename(columns=lambda name: str(name).replace("_", " "))
    markdown = shown.to_markdown(index=False, disable_numparse=True, colalign=_alignment(table))
    stem.with_suffix(".md").write_text(f"**{title}**\n\n{markdown}\n", encoding="utf-8")
    style = shown.style.format(escape="latex").format_index(escape="latex", axis=1).hide(axis="index")
    latex = style.to_latex(
        hrules=True, caption=_escaped(title), label=f"tab:{stem.name}", position_float="centering",
        column_format="".join("l" if side == "left" else "r" for side in _alignment(table)),
    )  # fmt: skip
    stem.with_suffix(".tex").write_text(latex, encoding="utf-8")


def readable(value: Any, digits: int) -> str:
    """A cell for a person: nothing for what is not known, separators in large numbers, few digits in others."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if not isinstance(value, int | float):
        return str(value)
    if abs(value) >= LARGE or (float(value).is_integer() and abs(value) >= 10):
        return f"{value:,.0f}"
    return f"{value:,.{digits}f}" if abs(value) >= 1 else f"{value:.{digits + 1}g}"


def _alignment(table: pd.DataFrame) -> list[str]:
    return ["right" if pd.api.types.is_numeric_dtype(kind) else "left" for kind in table.dtypes]


def _escaped(text: str) -> str:
    return text.replace("%", r"\%").replace("_", r"\_").replace("&", r"\&")
