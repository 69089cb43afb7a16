"""What a grid's result files say, as one row a cell; a missing file leaves its cells empty."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from lorap.artifacts import names
from lorap.artifacts.counts import counted
from lorap.artifacts.grid import Cell, all_cells, compressed_cells, timed_cells, tuned_cells
from lorap.artifacts.places import holder_of, measured, output
from lorap.artifacts.specs import ReportSpec
from lorap.files import read_json
from lorap.report.read.columns import setting_columns
from lorap.report.read.removed_share import REMOVED, removed
from lorap.report.read.scores import SEVEN, score_columns, task_scores
from lorap.settings.schema import KeptAs

SETTINGS = ["model", "method", "sparsity", "calibration", "tuning", "kept_as"]
FORMS: tuple[str, ...] = get_args(KeptAs)
COSTS = ["parameters", "macs", "peak_memory_bytes"]


def read_results(spec: ReportSpec, folder: Path) -> pd.DataFrame:
    """One row for every cell of the grid: its path and settings, its perplexities, accuracies, costs, share lost.

    Only cells of the grid are read, so a cell that left the grid leaves the tables too.
    """
    timed = set(timed_cells(spec.grid))
    rows = [
        ({} if cell in timed else _counts(folder, cell)) | _row(spec, folder, cell) for cell in all_cells(spec.grid)
    ]
    found = (key for row in rows for key in row)
    known = ["cell", *SETTINGS, *setting_columns(spec), *spec.perplexity, *score_columns(spec), *COSTS]
    table = pd.DataFrame(rows, columns=list(dict.fromkeys([*known, *found])))
    words = ["cell", *(name for name in SETTINGS if name != "sparsity"), *_words(spec)]
    table = table.astype({name: "str" if name in words else "float64" for name in table.columns})  # also of no values
    return table.assign(**{REMOVED: removed(spec, table, folder)})


def _row(spec: ReportSpec, folder: Path, cell: Cell) -> dict[str, Any]:
    row: dict[str, Any] = {"cell": cell.path, "method": "dense"}
    row |= {name: value for name in SETTINGS if (value := getattr(cell, name)) is not None}
    if cell.method:
        row |= spec.methods[cell.method].columns()
    place = folder / measured(cell)
    perplexities = read_optional(place / names.PERPLEXITY) or {}
    row |= {name: result["perplexity"] for name, result in perplexities.items() if name in spec.perplexity}
    if spec.zeroshot:
        tasks = (read_optional(place / names.ZEROSHOT) or {"tasks": {}})["tasks"]
        row |= task_scores({name: tasks[name] for name in spec.zeroshot.tasks if name in tasks})
    return row | _costs(read_optional(place / names.COST) or {})


def _counts(folder: Path, cell: Cell) -> dict[str, Any]:
    """What can be counted of a cell that is timed with another calibration."""
    dense = read_optional(folder / measured(Cell(cell.model)) / names.COST) or {}
    return counted(folder / output(holder_of(cell), cell).path, dense)


def _words(spec: ReportSpec) -> set[str]:
    """The settings of methods that are no numbers."""
    settings = (setting for method in spec.methods.values() for setting in method.columns().items())
    return {name for name, value in settings if isinstance(value, str | bool)}


def _costs(cost: dict[str, Any]) -> dict[str, Any]:
    row = {name: cost[name] for name in COSTS if name in cost}
    for timing in cost.get("batches", []):
        row[f"prefill_seconds_{timing['batch']}"] = timing["prefill_seconds"]
        row[f"decode_tokens_per_second_{timing['batch']}"] = timing["decode_tokens_per_second"]
    return row


def is_main(spec: ReportSpec, results: pd.DataFrame) -> "pd.Series[bool]":
    """The dense rows and those of the grid's own calibration."""
    return (results.method == "dense") | (results.calibration == spec.grid.calibration)


def read_layers(spec: ReportSpec, folder: Path) -> pd.DataFrame:
    """Relative errors of every compressed projection: model, method, sparsity, layer, projection, error, plain_error.

    ``error`` is in the norm that the method minimises, ``plain_error`` in the Frobenius norm, NaN where the file does
    not say. Only cells of the grid's own calibration count.
    """
    rows = []
    for cell in compressed_cells(spec.grid):
        if cell.calibration != spec.grid.calibration:
            continue
        layers = read_optional(folder / output("compress", cell).path / names.LAYERS) or []
        for index, layer in enumerate(layers):
            plain = layer.get("plain_errors", {})
            for projection, error in layer["errors"].items():
                rows.append((cell.model, cell.method, cell.sparsity, index, projection, error, plain.get(projection)))
    columns = ["model", "method", "sparsity", "layer", "projection", "error", "plain_error"]
    return pd.DataFrame(rows, columns=columns).astype({"error": "float64", "plain_error": "float64"})


def read_joint_errors(spec: ReportSpec, folder: Path) -> pd.DataFrame:
    """Of layers whose q and k have joint factors: model, method, sparsity, layer, predicted, measured.

    Both are relative errors of the attention's output, see ``compression.joint_errors``.
    """
    rows = [
        (cell.model, cell.method, cell.sparsity, index, errors["predicted"], errors["measured"])
        for cell in compressed_cells(spec.grid)
        if cell.calibration == spec.grid.calibration
        for index, layer in enumerate(read_optional(folder / output("compress", cell).path / names.LAYERS) or [])
        if (errors := layer.get("joint_errors"))
    ]
    return pd.DataFrame(rows, columns=["model", "method", "sparsity", "layer", "predicted", "measured"])


def read_tunings(spec: ReportSpec, folder: Path) -> dict[Cell, dict[str, Any]]:
    """The history of every tuning of the grid that was run, its seconds a step and peak memory among it."""
    found = {}
    for cell in tuned_cells(spec.grid):
        place = folder / output("tune", cell).path
        if history := read_optional(place / names.HISTORY):
            found[cell] = history | (read_optional(place / names.TIMING) or {})
    return found


@dataclass(frozen=True)
class Answers:
    """Whether each document of a task was answered rightly, by the metric that counts, and a hash of what was asked."""

    right: list[bool]
    asked: str


def read_answers(spec: ReportSpec, folder: Path) -> dict[str, dict[str, Answers]]:
    """The answers of the grid's cells that have some, by the path of the cell and the task."""
    found: dict[str, dict[str, Answers]] = {}
    for cell in all_cells(spec.grid):
        content = read_optional(folder / measured(cell) / names.ZEROSHOT) or {}
        kept = content.get("answers", {})
        if tasks := [task for task in (spec.zeroshot.tasks if spec.zeroshot else ()) if task in kept]:
            asked = {task: content["protocol"]["tasks"][task]["prompts_sha256"] for task in tasks}
            digits = {task: kept[task][SEVEN.get(task, "acc")] for task in tasks}
            found[cell.path] = {task: Answers([d == "1" for d in digits[task]], asked[task]) for task in tasks}
    return found


def read_optional(path: Path) -> Any:
    """JSON of a file, None where there is no such file."""
    return read_json(path) if path.is_file() else None
