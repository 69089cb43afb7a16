"""params.yaml: names are plain words, and a name that is used is one that was defined."""

import copy
import functools
import operator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lorap.artifacts.grid import Cell, compressed_cells, wants_zeroshot
from lorap.settings.config import DEFAULTS, load_params, parse_params
from tests.overriding import faults_of

pytestmark = pytest.mark.thorough

NAMED = ("models", "corpora", "methods", "calibrate", "tune", "grids", "evaluate.perplexity", "evaluate.zeroshot")
ESCAPES = ("../x", "/abs", ".", "..", ".hidden", "", "a b", "a;rm", "$(touch x)", "`x`", "a'b", "-x", "x\n", "\x1b")


@pytest.mark.parametrize("name", ESCAPES, ids=repr)
def test_a_name_that_would_leave_its_folder_or_its_shell_word_is_refused(tmp_path: Path, name: str) -> None:
    shipped = yaml.safe_load(DEFAULTS.read_text())
    for section in NAMED:
        entries = functools.reduce(operator.getitem, section.split("."), shipped)
        entry = copy.deepcopy(next(iter(entries.values())))
        override = functools.reduce(lambda inner, key: {key: inner}, reversed(section.split(".")), {name: entry})
        (line,) = faults_of(tmp_path, override)
        assert line.startswith(section)
        assert repr(name) in line
        assert "pattern" in line


@pytest.mark.parametrize(
    ("section", "entry", "field"),
    [
        ("models", {"package": "-r"}, "m.wheel.package"),
        ("models", {"package": "git+https://x"}, "m.wheel.package"),
        ("models", {"version": "1.0 --pre"}, "m.wheel.version"),
        ("models", {"file": "x/.."}, "m.wheel.file"),
        ("corpora", {"files": {"calibration": "../../x.txt"}}, "m.files.files.calibration"),
        ("corpora", {"files": {"calibration": "/etc/passwd"}}, "m.files.files.calibration"),
    ],
)
def test_what_a_download_is_asked_for_is_a_plain_name(
    tmp_path: Path, section: str, entry: dict[str, Any], field: str
) -> None:
    wheel = {"source": "wheel", "package": "p", "version": "1.0", "file": "x.gguf", "sha256": "0" * 64}
    sound = wheel if section == "models" else {"source": "files", "repo": "a/b"}
    (line,) = faults_of(tmp_path, {section: {"m": sound | entry}})
    assert line.startswith(f"{section}.{field}: got ")
    assert "pattern" in line


@pytest.mark.parametrize(
    ("grid", "fields"),
    [
        ({"models": ["nope"]}, ["grids.g.models.0"]),
        ({"calibration": "nope"}, ["grids.g.calibration"]),
        ({"perplexity": ["pydoc", "nope"]}, ["grids.g.perplexity.1"]),
        ({"cells": [{"methods": ["lorap", "nope"], "sparsities": [0.5]}]}, ["grids.g.cells.0.methods.1"]),
        (
            {"cells": [{"methods": ["lorap"], "sparsities": [0.5], "calibrations": ["nope"]}]},
            ["grids.g.cells.0.calibrations.0"],
        ),
    ],
)
def test_a_grid_that_uses_a_name_nobody_defined_is_refused(
    tmp_path: Path, grid: dict[str, Any], fields: list[str]
) -> None:
    sound = {
        "models": ["llama-7b"],
        "calibration": "pydoc-32x128",
        "cells": [{"methods": ["lorap"], "sparsities": [0.5], "calibrations": None}],
        "perplexity": ["pydoc"],
    }
    found = faults_of(tmp_path, {"grids": {"g": sound | grid}})
    assert [line.split(": got 'nope'; expected a name from ")[0] for line in found] == fields


def test_a_block_may_be_of_some_of_the_grids_models_and_of_no_other(tmp_path: Path) -> None:
    grid = {"models": ["llama-7b", "llama-13b"], "calibration": "pydoc-32x128", "perplexity": ["pydoc"]}
    block = {"models": ["llama-7b"], "methods": ["svd"], "sparsities": [0.5], "zeroshot": True}
    params = load_params()
    raw = params.model_dump() | {"grids": {"g": grid | {"zeroshot": "pydoc", "cells": [block]}}, "active": ["g"]}
    made = parse_params(raw, "test").grids["g"]
    assert [cell.model for cell in compressed_cells(made)] == ["llama-7b"]
    assert not wants_zeroshot(made, Cell("llama-13b", "pydoc-32x128", "svd", 0.5))
    (line,) = faults_of(tmp_path, {"grids": {"g": grid | {"cells": [block | {"models": ["vicuna-7b"]}]}}})
    assert "vicuna-7b is none of the grid's models: llama-7b, llama-13b" in line
