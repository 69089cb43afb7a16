"""Verify tells every artifact that is not what params.yaml says, and prune those that no grid has."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lorap.artifacts.meta import make_meta, new_artifact
from lorap.artifacts.names import META
from lorap.files import read_json, sha256_file, write_json
from lorap.settings.config import load_params
from lorap.workflow.expected import Artifact, artifacts
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
        if artifact.path.name == "report":
            _report(artifact)
            continue
        inputs = {role: _made(meta) for role, meta in artifact.inputs.items()}
        is_folder = artifact.meta.name == META
        with new_artifact(artifact.path, artifact.spec, inputs, folder=is_folder) as place:
            (place / "config.json" if is_folder else place).write_text(json.dumps(str(artifact.path)))
    return tmp_path / "results/small"


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


def test_a_whole_tree_is_right(tree: Path) -> None:
    assert succeed("verify", "--bytes") == "small: 27 of 27 artifacts are what params.yaml says\n"
    assert succeed("verify", "--until", "compress") == "small: 4 of 4 artifacts are what params.yaml says\n"
    assert succeed("prune") == ""


def edit(file: str, **changes: Any) -> Callable[[Path], None]:
    def apply(tree: Path) -> None:
        meta = json.loads((tree / file).read_text())
        (tree / file).write_text(json.dumps(meta | changes))

    return apply


def write(file: str, text: str) -> Callable[[Path], None]:
    def apply(tree: Path) -> None:
        (tree / file).write_text(text)

    return apply


def flip(file: str) -> Callable[[Path], None]:
    def apply(tree: Path) -> None:
        data = bytearray((tree / file).read_bytes())
        data[0] ^= 1
        (tree / file).write_bytes(data)

    return apply


@pytest.mark.parametrize(
    ("damage", "lines", "more"),
    [
        (flip(f"compress/{CELL}/config.json"), [f"compress/{CELL}: damaged, config.json has other bytes than"], 16),
        (flip(f"evaluate/{CELL}/cost.json"), [f"evaluate/{CELL}/cost.json: damaged, cost.json has other bytes"], 1),
        (flip("metrics.json"), ["report: damaged, metrics.json has other bytes"], 0),
        (lambda tree: (tree / f"compress/{CELL}/config.json").unlink(), [f"compress/{CELL}: incomplete, it has"], 16),
        (lambda tree: (tree / f"tune/{CELL}/alpaca/meta.json").unlink(), [
            f"tune/{CELL}/alpaca: missing",
            f"redecompose/{CELL}/alpaca/exact: its adapter is missing",
            f"redecompose/{CELL}/alpaca/truncated: its adapter is missing",
            *(f"evaluate/{CELL}/alpaca/adapter/{name}.json: its adapter is missing"
              for name in ("cost", "perplexity", "zeroshot")),
            f"report: its tune/{CELL}/alpaca is missing",
        ], 6),
        (edit(f"evaluate/{CELL}/cost.json.meta.json", id="0" * 64), [
            f"evaluate/{CELL}/cost.json: cost.json.meta.json was edited, its id does not fit",
            f"report: made from another evaluate/{CELL}/cost.json than",
        ], 0),
        (edit(f"evaluate/{CELL}/cost.json.meta.json", sha256="0" * 64), [
            f"evaluate/{CELL}/cost.json: cost.json.meta.json was edited",
        ], 1),
        (edit(f"evaluate/{CELL}/cost.json.meta.json", inputs={"model": "0" * 64}), [
            f"evaluate/{CELL}/cost.json: made from another model than",
        ], 1),
        (edit(f"evaluate/{CELL}/cost.json.meta.json", sha256=[1]), [
            f"evaluate/{CELL}/cost.json: cost.json.meta.json was edited, sha256",
        ], 1),
        (edit(f"evaluate/{CELL}/cost.json.meta.json", accepted=[{"why": "harmless"}]), [
            f"evaluate/{CELL}/cost.json: cost.json.meta.json was edited, accepted.0.code: Field required",
        ], 1),
        (write(f"evaluate/{CELL}/cost.json.meta.json", "[]"), [
            f"evaluate/{CELL}/cost.json: cost.json.meta.json was edited, the whole: Input should be",
        ], 1),
        (write(f"compress/{CELL}/meta.json", ""), [f"compress/{CELL}: damaged, "], 16),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_artifact_is_told(
    tree: Path, damage: Callable[[Path], Any], lines: list[str], more: int
) -> None:
    damage(tree)
    done = call("verify", "--bytes")
    assert done.out == f"small: {27 - len(lines) - more} of 27 artifacts are what params.yaml says\n"
    if more:
        lines = [*lines, f"{more} more are made from these"]
    found = (
        done.err.replace("lorap: error: ", "")
        .replace("\nresults/small/", "\n")
        .removeprefix("results/small/")
        .splitlines()
    )
    assert len(found) == len(lines)
    assert all(line.startswith(start) for line, start in zip(found, lines, strict=True)), found


def test_a_changed_setting_makes_its_step_stale_and_no_other(tree: Path) -> None:
    params_with(seed=1)
    found = call("verify").err.splitlines()
    assert [line.split(": ", 3)[3] for line in found if "/calibrate/" in line] == ["made from other settings (seed)"]
    assert not [line for line in found if "/compress/" in line], "its own settings are right"
    assert found[-1].endswith(" more are made from these")


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
    left = call("verify")
    assert left.out == "small: 6 of 7 artifacts are what params.yaml says\n"
    assert "report: made from other settings (grid, methods, tune)" in left.err


def test_a_base_model_that_left_the_grid_is_pruned_whatever_its_name(tree: Path) -> None:
    for name in ("old", "tiny.meta"):
        (tree / f"models/{name}").mkdir()
        (tree / f"models/{name}.json").write_text("{}")
    listed = succeed("prune", "--remove").splitlines()
    assert listed == [
        f"results/small/models/{name}: removed" for name in ("old", "old.json", "tiny.meta", "tiny.meta.json")
    ]
    assert [file.name for file in (tree / "models").iterdir()] == ["tiny.json"]


def test_what_a_killed_job_left_of_a_removed_cell_is_pruned_and_of_a_cell_it_is_not(tree: Path) -> None:
    left = tree / "compress/tiny/pydoc/.svd-0.5.partial"
    left.mkdir()
    (left / META).write_text("{}")
    (tree / "compress/tiny/pydoc/.lorap-0.5.old/lorap-0.5").mkdir(parents=True)
    (tree / "compress/tiny/pydoc/.lorap-0.5.old/lorap-0.5" / META).write_text("{}")
    files = [tree / "evaluate/tiny/pydoc/svd-0.5/.cost.json.meta.json.partial.lock"]
    files += [tree / "compress/tiny/pydoc/.lorap-0.5.partial.lock", tree / f"evaluate/{CELL}/.cost.json.partial"]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.touch()
    listed = succeed("prune", "--remove").splitlines()
    assert listed == [f"results/small/{path.relative_to(tree)}: removed" for path in (left, files[0])]
    assert [path.exists() for path in (left, *files)] == [False, False, True, True]


def test_an_unknown_step_or_grid_is_refused(tree: Path) -> None:
    assert faults(call("verify", "--until", "bake")) == [
        "--until: unknown step 'bake', expected one of models, calibrate, compress, tune, redecompose, evaluate, report"
    ]
    assert faults(call("prune", "--grid", "nope"))[0].startswith("grid: unknown name 'nope', expected one of ")
