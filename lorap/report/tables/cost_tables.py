"""What models cost: parameters and multiply-accumulates, which are exact; memory and times, which vary."""

from pathlib import Path
from typing import Any

import pandas as pd

from lorap.artifacts.specs import ReportSpec
from lorap.report.read.published import published_statistics
from lorap.report.read.results import is_main, read_tunings
from lorap.report.read.scores import COST, TUNING
from lorap.report.tables.main_table import KEYS, in_blocks, tuned_names
from lorap.report.tables.sourced import CELL, MEASURED, SOURCE, Origin, Table, stacked, with_origins

MIB = 2**20


def cost_table(spec: ReportSpec, results: pd.DataFrame) -> Table:
    """Parameters and MACs of every cell, as counts and as shares of the dense model, beside the published ones."""
    own = _own(spec, results)
    dense = own[own.method == "dense"].set_index("model")
    counts = ("parameters", "macs")
    own = own.assign(**{f"{name} kept": own[name] / own.model.map(dense[name]) for name in counts})
    published = published_statistics().rename(columns={"macs_64_tokens": "macs"}).assign(tuned="no")
    both = in_blocks(spec, stacked([own, published]))
    columns = [column for name in counts for column in (name, f"{name} kept")]
    return with_origins(both[[*KEYS, *columns, SOURCE, CELL]], dict.fromkeys(columns, COST))


def timing_table(spec: ReportSpec, results: pd.DataFrame) -> Table:
    """Measured memory (MiB), prefill seconds and decoding speed of every cell, beside published memory and latency."""
    own = _own(spec, results)
    own = own.assign(memory=own.peak_memory_bytes / MIB)
    both = stacked([own, published_statistics().assign(tuned="no")])
    names = {"memory": "memory MiB"} | _timing_names(own) | {"latency": "published latency s"}
    both = in_blocks(spec, both).rename(columns=names)
    return with_origins(both[[*KEYS, *names.values(), SOURCE, CELL]], dict.fromkeys(names.values(), COST))


def tuning_cost_table(spec: ReportSpec, results: pd.DataFrame, folder: Path) -> Table:
    """Seconds a step and peak memory of every tuning: on the dense equivalent or beside the factors."""
    rows: list[dict[str, Any]] = []
    origins: dict[tuple[int, str], Origin] = {}
    for index, (cell, history) in enumerate(read_tunings(spec, folder).items()):
        memory = history.get("peak_memory_bytes")
        steps = [entry["step"] for entry in history["log"]]
        rows.append({
            "model": cell.model, "method": cell.method, "sparsity": cell.sparsity, "calibration": cell.calibration,
            "tuning": cell.tuning, "form": spec.tune[str(cell.tuning)].form, "steps": max(steps, default=0),
            "seconds a step": history.get("seconds_per_step"), "memory MiB": memory / MIB if memory else None,
        })  # fmt: skip
        origins |= {(index, name): Origin((cell.path,), TUNING) for name in ("steps", "seconds a step", "memory MiB")}
    columns = ["model", "method", "sparsity", "calibration", "tuning", "form", "steps", "seconds a step", "memory MiB"]
    return Table(pd.DataFrame(rows, columns=columns), origins)


def _own(spec: ReportSpec, results: pd.DataFrame) -> pd.DataFrame:
    own = results[is_main(spec, results)]
    return own.assign(tuned=tuned_names(own), source=MEASURED)


def _timing_names(results: pd.DataFrame) -> dict[str, str]:
    named = {"prefill_seconds": "prefill s", "decode_tokens_per_second": "decode tokens/s"}
    parts = {column: column.rpartition("_") for column in results.columns}
    return {column: f"{named[what]}, batch {size}" for column, (what, _, size) in parts.items() if what in named}
