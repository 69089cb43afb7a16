"""Verify tells every artifact that is not what params.yaml says, and prune those that no grid has."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lorap.artifacts import artifacts
from lorap.config import load_params
from lorap.files import META
from lorap.provenance import new_artifact
from tests.command import call, faults, succeed

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


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with every artifact of the grid, its bytes made up."""
    monkeypatch.chdir(tmp_path)
    params_with()
    for artifact in artifacts(load_params(), "small", Path("results")):
        if artifact.path == artifact.meta:  # the manifest of a base model is the meta of its folder
            with new_artifact(Path("models/tiny"), artifact.spec, {}, folder=True) as folder:
                (folder / "config.json").write_text("{}")
            artifact.path.parent.mkdir(parents=True)
            shutil.copyfile(f"models/tiny/{META}", artifact.path)
            continue
        inputs = {role: _made(meta) for role, meta in artifact.inputs.items()}
        is_folder = artifact.meta.name == META
        with new_artifact(artifact.path, artifact.spec, inputs, folder=is_folder) as place:
            (place / "config.json" if is_folder else place).write_text(json.dumps(str(artifact.path)))
    return tmp_path / "results/small"


def _made(meta: Path) -> Path:
    """The artifact that a meta is of."""
    if meta.parent.name == "models":
        return Path("models/tiny")
    return meta.parent if meta.name == META else meta.with_name(meta.name.removesuffix(f".{META}"))


def test_a_whole_tree_is_right(tree: Path) -> None:
    assert succeed("verify", "--bytes") == "small: 26 of 26 artifacts are what params.yaml says\n"
    assert succeed("verify", "--step", "compress") == "small: 2 of 2 artifacts are what params.yaml says\n"
    assert succeed("prune") == ""


def edit(file: str, **changes: Any) -> Callable[[Path], None]:
    def apply(tree: Path) -> None:
        meta = json.loads((tree / file).read_text())
        (tree / file).write_text(json.dumps(meta | changes))

    return apply


def flip(file: str) -> Callable[[Path], None]:
    def apply(tree: Path) -> None:
        data = bytearray((tree / file).read_bytes())
        data[0] ^= 1
        (tree / file).write_bytes(data)

    return apply


@pytest.mark.parametrize(
    ("damage", "lines"),
    [
        (flip(f"compress/{CELL}/config.json"), [f"compress/{CELL}: damaged, config.json has other bytes than"]),
        (flip(f"evaluate/{CELL}/cost.json"), [f"evaluate/{CELL}/cost.json: damaged, cost.json has other bytes"]),
        (lambda tree: (tree / f"compress/{CELL}/config.json").unlink(), [f"compress/{CELL}: incomplete, config"]),
        (lambda tree: (tree / f"tune/{CELL}/alpaca/meta.json").unlink(), [
            f"tune/{CELL}/alpaca: missing",
            f"redecompose/{CELL}/alpaca/exact: made from another adapter than",
            f"redecompose/{CELL}/alpaca/truncated: made from another adapter than",
            *(f"evaluate/{CELL}/alpaca/adapter/{name}.json: made from another adapter than"
              for name in ("cost", "perplexity", "zeroshot")),
        ]),
        (edit(f"evaluate/{CELL}/cost.json.meta.json", id="0" * 64), [
            f"evaluate/{CELL}/cost.json: cost.json.meta.json was edited, its id does not fit",
        ]),
        (edit(f"evaluate/{CELL}/cost.json.meta.json", sha256="0" * 64), [
            f"evaluate/{CELL}/cost.json: cost.json.meta.json was edited",
        ]),
        (edit(f"evaluate/{CELL}/cost.json.meta.json", inputs={"model": "0" * 64}), [
            f"evaluate/{CELL}/cost.json: made from another model than",
        ]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_artifact_is_told(tree: Path, damage: Callable[[Path], Any], lines: list[str]) -> None:
    damage(tree)
    done = call("verify", "--bytes")
    assert done.out == f"small: {26 - len(lines)} of 26 artifacts are what params.yaml says\n"
    found = done.err.replace("lorap: error: results/small/", "").splitlines()
    assert len(found) == len(lines)
    assert all(line.startswith(start) for line, start in zip(found, lines, strict=True)), found


def test_a_changed_setting_makes_its_step_stale_and_no_other(tree: Path) -> None:
    params_with(seed=1)
    found = call("verify").err.splitlines()
    assert [line.split(": ", 3)[3] for line in found if "/calibrate/" in line] == ["made from other settings (seed)"]
    assert not [line for line in found if "/compress/" in line], "what it is made from is still on disk"


def test_what_no_cell_has_is_listed_and_removed_when_asked(tree: Path) -> None:
    params_with(grids={"small": load_params().grids["small"].model_dump() | {"cells": []}})
    listed = succeed("prune").splitlines()
    assert f"results/small/compress/{CELL}: of no cell of the grid" in listed
    assert "lorap prune --remove" in listed[-1]
    assert (tree / f"compress/{CELL}").exists()
    succeed("prune", "--remove")
    assert not (tree / f"compress/{CELL}").exists()
    assert (tree / "calibrate/tiny/pydoc.safetensors").exists()
    assert succeed("prune") == ""
    assert succeed("verify") == "small: 6 of 6 artifacts are what params.yaml says\n"


def test_an_unknown_step_or_grid_is_refused(tree: Path) -> None:
    assert faults(call("verify", "--step", "bake")) == [
        "--step: unknown step 'bake', expected one of models, calibrate, compress, tune, redecompose, evaluate"
    ]
    assert faults(call("prune", "--grid", "nope"))[0].startswith("grid: unknown name 'nope', expected one of ")
