"""A folder of results as the workflow leaves it, with numbers that tell which cell and which measure they are of."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lorap.artifacts.grid import (
    Cell,
    all_cells,
    calibrations,
    compressed_cells,
    recovered_cells,
    tuned_cells,
)
from lorap.artifacts.grid_specs import report_spec
from lorap.artifacts.specs import ReportSpec
from lorap.report.read.scores import SEVEN
from lorap.settings.config import load_params, parse_params

MODEL = "llama-7b"
CALIBRATION = "bookcorpus-128x128"
OWN_TASK = "pydoc"
COMMIT = "c0ffee" + "0" * 34
DENSE_PARAMETERS, LINEARS = 6_738_415_616, 6_476_005_376  # of the paper's model, which all models here are as large as
CONFIG = {
    "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
    "vocab_size": 32000,
}  # fmt: skip
GRID: dict[str, Any] = {
    "models": [MODEL],
    "calibration": CALIBRATION,
    "cells": [
        {"methods": ["lorap", "svd"], "sparsities": [0.2, 0.5], "zeroshot": True},
        {"methods": ["lorap-1to1"], "sparsities": [0.5]},
        {
            "methods": ["lorap"],
            "sparsities": [0.2, 0.5],
            "tune": ["alpaca"],
            "kept_as": ["adapter", "exact", "truncated"],
        },
        {"methods": ["lorap"], "sparsities": [0.5], "tune": ["alpaca-factored"], "kept_as": ["exact"]},
        {
            "methods": ["lorap"],
            "sparsities": [0.5],
            "calibrations": [f"{CALIBRATION}-seed1", f"{CALIBRATION}-seed2"],
        },
    ],
    "perplexity": ["wikitext2", "ptb-400", "wikitext2-2048"],
    "zeroshot": "eight",
}


def small_spec(documents: int | None = None, **changes: Any) -> ReportSpec:
    """The spec of a small grid of the paper's model, of which much is published."""
    raw = load_params().model_dump()
    published = raw["tune"]["alpaca"]
    raw["tune"] |= {"alpaca-factored": published | {"form": "factored"}, "alpaca-1k": published | {"rows": 1000}}
    windows = {"corpus": "bookcorpus", "nsamples": 128, "seqlen": 128}
    raw["calibrate"] |= {CALIBRATION: windows} | {f"{CALIBRATION}-seed{n}": windows | {"seed": n} for n in (1, 2)}
    raw["evaluate"]["perplexity"] |= {
        "wikitext2": {"corpus": "wikitext2", "seqlen": 128, "windows": None},
        "wikitext2-2048": {"corpus": "wikitext2", "seqlen": 2048, "windows": None},
        "ptb-400": {"corpus": "ptb", "seqlen": 128, "windows": 400},
    }
    raw["evaluate"]["zeroshot"]["eight"] = {"tasks": [*SEVEN, OWN_TASK], "documents": documents}
    raw["grids"]["small"] = GRID | changes
    return report_spec(parse_params(raw, "test"), "small")


def perplexity(spec: ReportSpec, cell: Cell, protocol: str) -> float:
    """The perplexity that the files hold: tens for the protocol, ones for the cell."""
    return 100 + 100 * list(spec.perplexity).index(protocol) + all_cells(spec.grid).index(cell) + 0.25


def parameters(spec: ReportSpec, cell: Cell) -> int:
    """The size that the files hold: what the sparsity leaves, less ones for the cell."""
    return DENSE_PARAMETERS - round(cell.sparsity * LINEARS) - all_cells(spec.grid).index(cell)


def accuracy(spec: ReportSpec, cell: Cell, task: str, metric: str) -> float:
    """The accuracy that the files hold, from 0 to 1."""
    assert spec.zeroshot
    place = spec.zeroshot.tasks.index(task) + 10 * all_cells(spec.grid).index(cell)
    return (place + 200 * (metric == "acc_norm")) / 1000


def digits(spec: ReportSpec, cell: Cell, task: str, metric: str) -> str:
    """The answers to ten documents that the files hold."""
    assert spec.zeroshot
    mixed = 7919 * (all_cells(spec.grid).index(cell) + 1) * (spec.zeroshot.tasks.index(task) + 3)
    return f"{mixed % 1024 if metric == 'acc' else 1023 - mixed % 1024:010b}"


def fill(spec: ReportSpec, folder: Path) -> Path:
    """Writes every result file of a grid."""
    for model in spec.grid.models:
        _artifact(folder / "models" / model, META | {"origin": {"repo": "huggyllama/llama-7b", "revision": "4782ad2"}})
        _write(folder / "models" / model / "config.json", CONFIG)
        spectrum = {name: [0.0, 0.5, 0.95, 1.0] for name in ("q_proj", "v_proj", "up_proj")}
        spectra = {"rank_fractions": [0, 0.3, 0.6, 1], "layers": [spectrum] * 3}
        _artifact(folder / f"evaluate/{model}/spectra.json", META, spectra)
    for model, name in calibrations(spec.grid):
        _artifact(folder / f"calibrate/{model}/{name}.safetensors", META | {"spec": {"seed": 7}})
    for cell in compressed_cells(spec.grid):
        _artifact(folder / "compress" / cell.path / "model.safetensors")
        layer = {"errors": {"q_proj": 0.1, "up_proj": 0.2}, "plain_errors": {"q_proj": 0.3, "up_proj": 0.4}}
        _write(folder / "compress" / cell.path / "layers.json", [layer] * 3)
        _write(folder / "compress" / cell.path / "config.json", compressed_config(cell))
        _write(folder / "compress" / cell.path / "meta.json", META)
    for cell in tuned_cells(spec.grid):
        fill_tuning(folder / "tune" / cell.path)
    for cell in recovered_cells(spec.grid):
        if cell.kept_as != "adapter":
            _write(folder / "redecompose" / cell.path / "meta.json", META)
    for cell in all_cells(spec.grid):
        fill_cell(spec, folder, cell)
    return folder


def compressed_config(cell: Cell) -> dict[str, Any]:
    """What a compressed model of three layers says of itself; the first of them keeps all of its channels."""
    left = 1 - cell.sparsity
    layer = {"ranks": {"q_proj": 4, "k_proj": 4}, "channels": round(100 * left), "value_dim": 4}
    sizes = {"hidden_size": 32, "intermediate_size": 100, "num_attention_heads": 4, "num_key_value_heads": 2}
    layers = [layer | {"channels": 100}, layer, layer | {"shared": [["q_proj", "k_proj"]]}]
    return sizes | {"num_hidden_layers": 3, "vocab_size": 300, "lorap": {"layers": layers}}


def fill_tuning(place: Path) -> None:
    """Writes what tuning leaves."""
    losses = [{"step": step, "loss": 3 - step / 10, "learning_rate": 1e-4} for step in range(1, 9)]
    log = [*losses, *({"step": step, "held_out_loss": 3.2 - step / 10} for step in (4, 8))]
    _write(place / "history.json", {"rows": {"tuned_on": 64}, "log": log})
    _write(place / "timing.json", {"seconds_per_step": 1.5, "peak_memory_bytes": 3 * 2**20})
    _write(place / "meta.json", META | {"spec": {"seed": 3}, "origin": {"file": "alpaca.json", "sha256": "a1fa"}})


def fill_cell(spec: ReportSpec, folder: Path, cell: Cell) -> None:
    """Writes the measurements of a cell."""
    place = folder / "evaluate" / cell.path
    protocol = {"corpus": "wikitext2", "file": "wiki.test.raw", "text_sha256": "7e57", "windows": 9}
    found = {
        name: {"perplexity": perplexity(spec, cell, name), "tokens": 5, "protocol": protocol | {"of": name}}
        for name in spec.perplexity
    }
    _artifact(place / "perplexity.json", META, found)
    batches = [{"batch": 1, "prefill_seconds": 0.5, "decode_tokens_per_second": 20.0, "peak_memory_bytes": 1}]
    size = parameters(spec, cell)
    cost = {"parameters": size, "macs": 10 * size, "peak_memory_bytes": 2**20, "batches": batches}
    _artifact(place / "cost.json", META, cost | {"protocol": {"tokens": 64}})
    tasks = {}
    if spec.zeroshot and (cell.method is None or cell.method in ("lorap", "svd")):
        for task in spec.zeroshot.tasks:
            tasks[task] = {metric: accuracy(spec, cell, task, metric) for metric in ("acc", "acc_norm")}
            tasks[task] |= {"acc_stderr": 0.01, "documents": 100}
    asked = {task: {"dataset": f"set of {task}", "prompts_sha256": f"hash of {task}"} for task in tasks}
    answers = {task: {metric: digits(spec, cell, task, metric) for metric in ("acc", "acc_norm")} for task in tasks}
    protocol = {"num_fewshot": 0, "tasks": asked}
    _artifact(place / "zeroshot.json", META, {"tasks": tasks, "answers": answers, "protocol": protocol})


META: dict[str, Any] = {
    "spec": {}, "inputs": {}, "origin": {}, "id": "1d", "sha256": "5a",
    "versions": {"python": "3.11.7", "torch": "2.13.0"}, "git_commit": COMMIT,
    "device": "x86_64", "wall_seconds": 12.345,
}  # fmt: skip


def _artifact(path: Path, meta: Mapping[str, Any] = META, content: Any = None) -> None:
    """A file and its meta; that of a base model is its manifest and stands alone."""
    if path.parent.name == "models":
        _write(path.with_name(f"{path.name}.json"), meta)
        return
    _write(path, content)
    _write(path.with_name(f"{path.name}.meta.json"), meta)


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
