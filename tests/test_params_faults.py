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
from tests.overriding import faults_of

pytestmark = pytest.mark.thorough


def test_all_faults_are_told_at_once_and_dangling_names_with_them(tmp_path: Path) -> None:
    found = faults_of(
        tmp_path,
        {
            "active": ["demo", "nope"],
            "seed": "x",
            "wibble": 1,
            "methods": {"mine": {"attention": "svd", "allocation": -1}, "other": {"attention": "qr"}},
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
        "methods.mine.ffn",
        "methods.other.attention",
        "methods.other.ffn",
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
            "models.m: got 'ftp'; should be 'hub', 'wheel', 'gguf' or 'folder'",
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


SOME: list[Any] = [None, "x", -1, [], {1: 2}]
OTHERS: list[Any] = [0.5, True, [None], {}, [[{}]]]


@pytest.mark.parametrize("junk", [*SOME, *(pytest.param(junk, marks=pytest.mark.slow) for junk in OTHERS)], ids=repr)
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
