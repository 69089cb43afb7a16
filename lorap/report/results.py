"""What a grid's result files say, as one row a cell; a missing file leaves its cells empty."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from lorap.files import META
from lorap.grid import Cell, all_cells
from lorap.specs import ReportSpec

SETTINGS = ["model", "method", "sparsity", "calibration", "attention", "ffn", "allocation", "keep_least"]
COSTS = ["parameters", "macs", "peak_memory_bytes"]


def read_results(spec: ReportSpec, folder: Path) -> pd.DataFrame:
    """One row for every cell of the grid: its settings, a column for every perplexity protocol, and its costs.

    Only cells of the grid are read, so a cell that left the grid leaves the tables too.
    """
    rows = [_row(spec, folder, cell) for cell in all_cells(spec.grid)]
    measured = (key for row in rows for key in row)
    return pd.DataFrame(rows, columns=list(dict.fromkeys([*SETTINGS, *spec.perplexity, *COSTS, *measured])))


def _row(spec: ReportSpec, folder: Path, cell: Cell) -> dict[str, Any]:
    row: dict[str, Any] = {"model": cell.model, "method": cell.method or "dense", "sparsity": cell.sparsity}
    if cell.method:
        row |= {"calibration": cell.calibration, **spec.methods[cell.method].model_dump()}
    place = folder / "evaluate" / cell.path
    for name, result in (read_optional(place / "perplexity.json") or {}).items():
        row[name] = result["perplexity"]
    cost = read_optional(place / "cost.json") or {}
    row |= {name: cost[name] for name in COSTS if name in cost}
    for timing in cost.get("batches", []):
        row[f"prefill_seconds_{timing['batch']}"] = timing["prefill_seconds"]
        row[f"decode_tokens_per_second_{timing['batch']}"] = timing["decode_tokens_per_second"]
    return row


def read_layers(spec: ReportSpec, folder: Path) -> pd.DataFrame:
    """Weighted relative error of every compressed projection: model, method, sparsity, layer, projection, error.

    Only cells of the grid's own calibration count.
    """
    rows = []
    for cell in all_cells(spec.grid):
        if cell.method is None or cell.calibration != spec.grid.calibration:
            continue
        layers = read_optional(folder / "compress" / cell.path / "layers.json") or []
        for index, layer in enumerate(layers):
            for projection, error in layer["errors"].items():
                rows.append((cell.model, cell.method, cell.sparsity, index, projection, error))
    return pd.DataFrame(rows, columns=["model", "method", "sparsity", "layer", "projection", "error"])


def read_provenance(spec: ReportSpec, folder: Path) -> dict[str, Any]:
    """The meta of every artifact of the grid by its path below the grid's folder, and the protocols by their names."""
    found = {f"models/{model}": read_optional(folder / "models" / f"{model}.json") for model in spec.grid.models}
    files = [f"evaluate/{model}/spectra.json" for model in spec.grid.models]
    protocols: dict[str, Any] = {}
    for cell in all_cells(spec.grid):
        files += [f"evaluate/{cell.path}/cost.json", f"evaluate/{cell.path}/perplexity.json"]
        for name, result in (read_optional(folder / files[-1]) or {}).items():
            protocols[f"perplexity {name} of {cell.model}"] = result.get("protocol")
        if cell.method:
            found[f"compress/{cell.path}"] = read_optional(folder / "compress" / cell.path / META)
            files.append(f"calibrate/{cell.model}/{cell.calibration}.safetensors")
    found |= {path: read_optional(folder / f"{path}.{META}") for path in files}
    return {path: meta for path, meta in {**protocols, **found}.items() if meta is not None}


def read_optional(path: Path) -> Any:
    """JSON of a file, None where there is no such file."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
