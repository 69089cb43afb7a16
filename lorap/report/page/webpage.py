"""The page of a report: one file of HTML with all tables and figures, that needs no network."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from itables import options as itables

from lorap.artifacts import catalogue
from lorap.artifacts.grid import all_cells
from lorap.artifacts.specs import ReportSpec
from lorap.report.page import findings
from lorap.report.page.chain import chain, lacks
from lorap.report.page.drawing import drawing
from lorap.report.page.origins import Origins
from lorap.report.page.summary import Line, measured, summary
from lorap.report.page.views import section
from lorap.report.tables.sourced import Table

TEMPLATE = "page.html.j2"


def page(
    spec: ReportSpec,
    folder: Path,
    results: pd.DataFrame,
    tables: Mapping[str, Table],
    pictures: Mapping[str, bytes],
    provenance: Mapping[str, Any],
) -> str:
    """The page of a report, as HTML.

    Args:
        spec: The grid and what it uses.
        folder: The results of the grid.
        results: A row for each cell, as ``read_results`` gives them.
        tables: The tables by name.
        pictures: The figures by name, as SVG.
        provenance: The metas of the grid's artifacts.
    """
    origins = Origins(spec, provenance)
    steps = chain(spec, folder)
    unmeasured = sum(bool(lacks(spec, folder, cell)) for cell in all_cells(spec.grid))
    content = {
        "grid": spec.name,
        "measured": _line(measured(spec, results, unmeasured), origins),
        "summary": {model: [_line(line, origins) for line in lines] for model, lines in summary(spec, results).items()},
        "warnings": findings.warnings(spec, folder, steps, tables["main"]),
        "tolerance": findings.TOLERANCE,
        "chain": drawing(steps),
        "tables": [section(name, tables[name], origins, spec.report.digits) for name in catalogue.TABLES],
        "figures": [_figure(name, pictures[name]) for name in catalogue.FIGURES],
        "facts": origins.facts,
        "origins": origins.groups,
        "datatables": Path(itables.dt_bundle).read_text(encoding="utf-8"),
    }
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    return environment.get_template(TEMPLATE).render(content)


def _line(line: Line, origins: Origins) -> dict[str, Any]:
    parts = [(part, None) if isinstance(part, str) else (part[0], origins.number(part[1])) for part in line.parts]
    return {"label": line.label, "parts": [{"text": text, "origin": origin} for text, origin in parts]}


def _figure(name: str, picture: bytes) -> dict[str, str]:
    return {"name": name, "title": catalogue.FIGURES[name], "data": base64.b64encode(picture).decode()}
