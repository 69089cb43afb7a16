"""The page of a report: one file of HTML with all tables and figures, that needs no network."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
from itables import options as itables

from lorap.artifacts import catalogue
from lorap.artifacts.grid import Cell, all_cells, tuned_cells
from lorap.artifacts.specs import ReportSpec
from lorap.report.page import findings
from lorap.report.page.chain import Progress, chain
from lorap.report.read.facts import Fact, cell_facts, measure_facts
from lorap.report.tables.formats import exact, header, shown
from lorap.report.tables.sourced import Origin, Table

TEMPLATE = "page.html.j2"
BOX, GAP, ARC = 124, 28, 15  # pixels of the chain's picture


def write_page(
    spec: ReportSpec, folder: Path, out: Path, tables: Mapping[str, Table], provenance: Mapping[str, Any]
) -> None:
    """Writes the page of a report.

    Args:
        spec: The grid and what it uses.
        folder: The results of the grid.
        out: The report's folder, which holds the figures.
        tables: The tables by name.
        provenance: The metas of the grid's artifacts.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    origins = _Origins(spec, provenance)
    steps = chain(spec, folder)
    content = {
        "grid": spec.name,
        "warnings": findings.warnings(spec, folder, steps, tables["main"]),
        "tolerance": findings.TOLERANCE,
        "chain": _drawing(steps),
        "tables": [_table(name, tables[name], origins, spec.report.digits) for name in catalogue.TABLES],
        "figures": [_figure(out, name) for name in catalogue.FIGURES],
        "facts": origins.facts,
        "origins": origins.groups,
        "datatables": Path(itables.dt_bundle).read_text(encoding="utf-8"),
    }
    html = environment.get_template(TEMPLATE).render(content)
    (out / catalogue.PAGE).write_text(html, encoding="utf-8")


@dataclass
class _Origins:
    """Numbers the origins of a page's numbers, and the facts that they share."""

    spec: ReportSpec
    provenance: Mapping[str, Any]
    facts: list[list[Fact]] = field(default_factory=list)
    groups: list[list[int]] = field(default_factory=list)
    _known: dict[Any, int] = field(default_factory=dict)

    def number(self, origin: Origin) -> int:
        """The place of an origin in ``groups``."""
        if origin not in self._known:
            group = [self._fact(path, measure) for path in origin.cells for measure in ("", origin.measure)]
            self.groups.append(group or [self._fact("", origin.measure)])
            self._known[origin] = len(self.groups) - 1
        return self._known[origin]

    def _fact(self, path: str, measure: str) -> int:
        key = ("fact", path, measure)
        if key not in self._known:
            self.facts.append(self._facts(path, measure))
            self._known[key] = len(self.facts) - 1
        return self._known[key]

    def _facts(self, path: str, measure: str) -> list[Fact]:
        if not path:
            return [("published in", measure)]
        cell = _cell(self.spec, path)
        if not measure:
            return cell_facts(self.spec, self.provenance, cell)
        return measure_facts(self.provenance, cell, measure)


def _cell(spec: ReportSpec, path: str) -> Cell:
    return next(cell for cell in [*all_cells(spec.grid), *tuned_cells(spec.grid)] if cell.path == path)


def _table(name: str, table: Table, origins: _Origins, digits: int) -> dict[str, Any]:
    """A table as the template wants it: columns, and rows of cells."""
    kinds = [
        "key" if c == table.marked else "number" if n else "text"
        for c, n in zip(table.columns, table.numeric, strict=True)
    ]
    rows = []
    for index, (texts, marks) in enumerate(zip(shown(table, digits), table.marks, strict=True)):
        row = []
        for column, kind, text in zip(table.columns, kinds, texts, strict=True):
            origin = table.origins.get((index, column))
            row.append({
                "text": text,
                "kind": kind,
                "order": exact(table.frame.loc[index, column]) if kind == "number" and text else "",
                "origin": origins.number(origin) if origin else None,
                "marks": marks if kind == "key" else [],
            })  # fmt: skip
        rows.append(row)
    columns = [{"name": header(column), "kind": kind} for column, kind in zip(table.columns, kinds, strict=True)]
    return {"name": name, "title": catalogue.TABLES[name], "columns": columns, "rows": rows, "notes": table.notes}


def _figure(out: Path, name: str) -> dict[str, str]:
    data = base64.b64encode((out / "figures" / f"{name}.png").read_bytes()).decode()
    return {"name": name, "title": catalogue.FIGURES[name], "data": data}


def _drawing(steps: list[Progress]) -> dict[str, Any]:
    """The steps as boxes in a row, and an arrow from each to those that need it; long ones go over the others."""
    place = {step.name: index for index, step in enumerate(steps)}
    arrows: list[dict[str, int]] = []
    for step in steps:
        for need in (name for name in step.needs if name in place):
            begin, end = place[need], place[step.name]
            arrows.append({"begin": begin * (BOX + GAP), "end": end * (BOX + GAP), "height": ARC * (end - begin - 1)})
    return {
        "steps": steps,
        "arrows": arrows,
        "box": BOX,
        "gap": GAP,
        "top": max((arrow["height"] for arrow in arrows), default=0) + ARC,
    }
