"""What compressing took, by the metas of its steps and by the benchmarks that the workflow leaves beside their logs."""

from pathlib import Path

import pandas as pd

from lorap.artifacts.grid import Cell, all_cells, is_surveyed
from lorap.artifacts.places import log, output
from lorap.artifacts.specs import ReportSpec
from lorap.report.read.facts import WALL
from lorap.report.read.results import read_optional

EFFORT = ["compress s", "compress MiB"]
UNKNOWN = float("nan")


def read_effort(spec: ReportSpec, folder: Path) -> pd.DataFrame:
    """Seconds and peak MiB of compressing, with the survey that a method wants, by the path of the cell.

    The memory is that of the CPU's processes; it is known on the machine that ran them, where the benchmarks are.
    """
    rows = {}
    for cell in (cell for cell in all_cells(spec.grid) if cell.method):
        steps = ["survey", "compress"] if is_surveyed(cell, spec.methods) else ["compress"]
        metas = [read_optional(folder / output(step, cell).meta) or {} for step in steps]
        peaks = [_peak(spec, folder, step, cell) for step in steps]
        rows[cell.path] = (sum(meta.get(WALL, UNKNOWN) for meta in metas), max(peaks))
    index = pd.Index(list(rows), dtype="str")  # also of no cells
    return pd.DataFrame(list(rows.values()), index, EFFORT, dtype="float64")


def _peak(spec: ReportSpec, folder: Path, step: str, cell: Cell) -> float:
    """The resident memory of a step at its highest; Snakemake writes no number for a job that was too short."""
    named = log(step, "tsv").format_map(cell.wildcards | {"grid": spec.name})
    file = folder.absolute().parents[1] / named
    if not file.is_file():
        return UNKNOWN
    return float(pd.to_numeric(pd.read_csv(file, sep="\t")["max_rss"], errors="coerce").max())
