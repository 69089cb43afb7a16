"""A working folder with every artifact of a small grid, as the commands that check and prune it find it."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import yaml

from lorap.artifacts.meta import make_meta, new_artifact
from lorap.artifacts.names import META
from lorap.files import read_json, sha256_file, write_json
from lorap.settings.config import load_params
from lorap.workflow.expected import Artifact, artifacts

CELL = "tiny/pydoc/lorap-0.5"


def params_with(**changes: Any) -> None:
    """params.yaml with a grid of two compressed cells, of which one is tuned."""
    tune = {"alpaca": yaml.safe_load(Path(__file__).parents[1].joinpath("params.yaml").read_text())["tune"]["alpaca"]}
    block = {"methods": ["lorap"], "sparsities": [0.2, 0.5]}
    tuned = {
        "methods": ["lorap"],
        "sparsities": [0.5],
        "tune": ["alpaca"],
        "kept_as": ["adapter", "exact", "truncated"],
    }
    params = {
        "active": ["small"],
        "models": {"tiny": {"source": "folder", "path": "somewhere"}},
        "calibrate": {"pydoc": {"corpus": "pydoc", "nsamples": 4, "seqlen": 16}},
        "tune": tune,
        "grids": {
            "small": {"models": ["tiny"], "calibration": "pydoc", "cells": [block, tuned], "perplexity": ["pydoc"]}
        },
    }
    Path("params.yaml").write_text(yaml.safe_dump(params | changes))


def fill_working_folder() -> None:
    """Writes params.yaml and every artifact of its grid, with made-up bytes, into the working folder."""
    params_with()
    for artifact in artifacts(load_params(), "small", Path("results")):
        if artifact.path == artifact.meta:  # the manifest of a base model is the meta of its folder
            with new_artifact(Path("models/tiny"), artifact.spec, {}, folder=True) as folder:
                (folder / "config.json").write_text("{}")
            artifact.path.parent.mkdir(parents=True)
            shutil.copyfile(f"models/tiny/{META}", artifact.path)
            continue
        if artifact.path.name == "report":
            _report(artifact)
            continue
        inputs = {role: _made(meta) for role, meta in artifact.inputs.items()}
        is_folder = artifact.meta.name == META
        with new_artifact(artifact.path, artifact.spec, inputs, folder=is_folder) as place:
            (place / "config.json" if is_folder else place).write_text(json.dumps(str(artifact.path)))


def _report(artifact: Artifact) -> None:
    ids = {role: read_json(meta)["id"] for role, meta in artifact.inputs.items()}
    (artifact.root / "metrics.json").write_text("{}")
    files = {"metrics.json": sha256_file(artifact.root / "metrics.json")}
    write_json(artifact.meta, make_meta(artifact.spec, ids, files, time.monotonic()))


def _made(meta: Path) -> Path:
    """The artifact that a meta is of."""
    if meta.parent.name == "models":
        return Path("models/tiny")
    return meta.parent if meta.name == META else meta.with_name(meta.name.removesuffix(f".{META}"))
