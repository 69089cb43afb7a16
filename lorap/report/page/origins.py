"""The origins of the numbers on a page, numbered, and the facts that they share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lorap.artifacts.grid import Cell, all_cells, tuned_cells
from lorap.artifacts.specs import ReportSpec
from lorap.report.read.facts import Fact, cell_facts, measure_facts
from lorap.report.tables.sourced import Origin


@dataclass
class Origins:
    """Numbers the origins of a page's numbers; each is a group of facts, and what groups share is there once."""

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
