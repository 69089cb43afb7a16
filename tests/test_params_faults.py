"""params.yaml: what is refused, and how every fault is told."""

import contextlib
import copy
import functools
import operator
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lorap.artifacts.specs import CompressSpec
from lorap.errors import LorapError
from lorap.settings.config import DEFAULTS, load_params, parse_params, parse_spec


def faults_of(folder: Path, override: dict[str, Any] | str) -> list[str]:
    """The lines that an override file is refused with, without the file's name that each must begin with."""
    file = folder / "override.yaml"
    file.write_text(override if isinstance(override, str) else yaml.safe_dump(override))
    with pytest.raises(LorapError) as raised:
        load_params(file)
    lines = str(raised.value).splitlines()
    assert all(line.startswith(f"{file}: ") for line in lines)
    return [line.removeprefix(f"{file}: ") for line in lines]


def test_all_faults_are_told_at_once_and_dangling_names_with_them(tmp_path: Path) -> None:
    found = faults_of(
        tmp_path,
        {
            "active": ["demo", "nope"],
            "seed": "x",
            "wibble": 1,
            "methods": {"mine": {"attention": "qr", "allocation": -1}},
            "calibrate": {"mine": {"corpus": "nowhere", "nsamples": 0, "seqlen": 8}},
            "evaluate": {"batch": 2.5},
        },
    )
    assert sorted(line.split(": ")[0] for line in found) == [
        "active.1",
        "calibrate.mine.corpus",
        "calibrate.mine.nsamples",
        "evaluate.batch",
        "methods.mine.allocation",
        "methods.mine.attention",
        "methods.mine.ffn",
        "seed",
        "wibble",
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("seed: x", "seed: got 'x'; should be a valid integer"),
        ("seed: 1.5", "seed: got 1.5; should be a valid integer"),
        ("seed: true", "seed: got True; should be a valid integer"),
        ("wibble: 1", "wibble: unknown key, remove it or correct its spelling"),
        ("report: {dpi: 0}", "report.dpi: got 0; should be greater than or equal to 1"),
        ("compress: {dtype: int8}", "compress.dtype: got 'int8'; should be 'auto', 'float32', 'float16' or 'bfloat16'"),
        ("methods: {m: {attention: svd}}", "methods.m.ffn: missing, it is required"),
        (
            "methods: {m: {attention: svd, ffn: prune, allocation: .inf}}",
            "methods.m.allocation: got inf; should be a finite number",
        ),
        (
            "methods: {m: {attention: svd, ffn: prune, keep_least: .nan}}",
            "methods.m.keep_least: got nan; should be less than 1",
        ),
        (
            "methods: {m: {attention: svd, ffn: prune, keep_lest: 0.1}}",
            "methods.m.keep_lest: unknown key, remove it or correct its spelling",
        ),
        (
            "models: {m: {source: ftp}}",
            "models.m: got {'source': 'ftp'}; tag 'ftp' found using 'source' does not match any of the expected tags: "
            "'hub', 'wheel', 'gguf', 'folder'",
        ),
        (
            "grids: {g: {models: [m], calibration: c, perplexity: [p], "
            "cells: [{methods: [], sparsities: [0.33333333333]}]}}",
            "grids.g.cells.0.sparsities.0: got 0.33333333333; expected at most 10 decimals, since it becomes "
            "the name of a folder",
        ),
        ("methods: null", "methods: got None; should be a valid dictionary"),
    ],
)
def test_a_fault_names_its_field_the_value_and_what_is_allowed(tmp_path: Path, text: str, line: str) -> None:
    assert faults_of(tmp_path, text)[0] == line


@pytest.mark.parametrize("written", ["1e-4", "1E-4", "2e3"])
def test_a_number_that_yaml_reads_as_text_is_told_with_the_way_to_write_it(tmp_path: Path, written: str) -> None:
    text = f"methods: {{m: {{attention: svd, ffn: prune, keep_least: {written}}}}}"
    (line,) = faults_of(tmp_path, text)
    assert line == f"methods.m.keep_least: {written!r} is text to YAML; write the number with a point, as in 1.0e-4"


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


@pytest.mark.parametrize("text", ["", "[]", "3", "a: [", "a: b: c", "\t"])
def test_a_file_that_is_no_mapping_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    assert len(faults_of(tmp_path, text)) == 1


def test_a_binary_or_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "binary.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    for path in (file, tmp_path / "nowhere.yaml", tmp_path):
        with pytest.raises(LorapError, match=f"^{path}: "):
            load_params(path)


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where every value below a value is."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*at, key)
        yield from paths(child, (*at, key))


@pytest.mark.parametrize("junk", [None, "x", -1, 0.5, True, [], [None], {}, {1: 2}, [[{}]]], ids=repr)
def test_junk_anywhere_in_the_file_is_a_fault_and_never_a_traceback(junk: Any) -> None:
    shipped = yaml.safe_load(DEFAULTS.read_text())
    refused = 0
    for *parents, last in paths(shipped):
        raw = copy.deepcopy(shipped)
        functools.reduce(operator.getitem, parents, raw)[last] = junk
        with contextlib.suppress(LorapError):
            parse_params(raw, "params.yaml")
            continue
        refused += 1
    assert refused > 100


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"sparsity": 2}'])
def test_a_spec_that_is_not_that_of_the_step_is_refused(text: str) -> None:
    with pytest.raises(LorapError, match=r"^--spec: "):
        parse_spec(CompressSpec, text)
