"""Data and settings that cannot be used end a command with one line, and leave nothing half-written."""

import gzip
import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.command import call, faults, refused

COMPRESS = ("compress", "--model", "model", "--calibration", "c.safetensors", "--sparsity", 0.5, "--out", "out")
CALIBRATE = ("calibrate", "--model", "model", "--out", "out.safetensors")
PERPLEXITY = ("evaluate", "perplexity", "--model", "model", "--out", "out.json")
PLAN = ("plan", "--model", "model", "--sparsity", 0.5)
COST = ("evaluate", "cost", "--model", "model", "--out", "out.json")


def test_a_calibration_file_of_another_tokenizer_is_refused(work: Path, windows: Tensor) -> None:
    save_file({"input_ids": windows}, work / "c.safetensors", metadata={"tokenizer": "0" * 64})
    for argv in (COMPRESS, ("evaluate", "spectra", *COMPRESS[1:5], "--out", "out.json")):
        assert refused(*argv) == (
            "c.safetensors: was made with another tokenizer than the model's; run 'lorap calibrate' again"
        )


@pytest.mark.parametrize("identity", [300, -1, 2**40])
def test_ids_outside_the_vocabulary_need_no_metadata_to_be_refused(work: Path, windows: Tensor, identity: int) -> None:
    ids = windows.clone()
    ids[3, 5] = identity
    save_file({"input_ids": ids}, work / "c.safetensors")
    line = refused(*COMPRESS)
    assert line.startswith("calibration: ids up to ")
    assert "but the model's vocabulary has 300" in line


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        ({"input_ids": torch.ones(2, 8)}, "input_ids is torch.float32 (2, 8), expected int64 (nsamples, seqlen)"),
        ({"input_ids": torch.ones(0, 8, dtype=torch.int64)}, "input_ids is torch.int64 (0, 8), expected int64"),
        ({"ids": torch.ones(2, 8, dtype=torch.int64)}, "no tensor input_ids"),
        (None, "damaged or not safetensors ("),
    ],
)
def test_a_file_that_holds_no_windows_is_refused(work: Path, tensors: dict[str, Tensor] | None, told: str) -> None:
    if tensors is None:
        os.truncate("c.safetensors", 100)
    else:
        save_file(tensors, "c.safetensors")
    assert refused(*COMPRESS).startswith(f"c.safetensors: {told}")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (
            b"too short",
            ("too short, no row of 1 has more than 128 tokens", "too short, 7 tokens make 0 windows"),
        ),
        (b"", ("too short, no row of 1 has more than 128 tokens", "too short, 0 tokens make 0 windows")),
        (b"\xff\xfe\x00", ("cannot be read as text (", "cannot be read as text (")),
        (None, ("no such text file", "no such text file")),
    ],
)
def test_a_text_that_cannot_be_used_is_named(work: Path, data: bytes | None, told: tuple[str, str]) -> None:
    (work / "book.txt").unlink() if data is None else (work / "book.txt").write_bytes(data)
    for argv, reason in zip((CALIBRATE, PERPLEXITY), told, strict=True):
        assert refused(*argv, "--text", "book.txt").startswith(f"book.txt: {reason}")


def test_a_damaged_gz_text_is_named(work: Path) -> None:
    (work / "book.txt.gz").write_bytes(gzip.compress(b"text " * 9999)[:-40])
    assert refused(*CALIBRATE, "--text", "book.txt.gz").startswith("book.txt.gz: cannot be read as text (")


def test_more_windows_than_the_text_has_are_refused(work: Path) -> None:
    line = refused(*PERPLEXITY, "--text", "book.txt", "--windows", 10**6)
    assert line.startswith("book.txt: too short, ")
    assert line.endswith(" windows of 128, 1000000 asked for")


@pytest.mark.parametrize("sparsity", ["1", "1.5", "-0.1", "nan", "inf"])
def test_a_sparsity_outside_of_its_range_is_refused(work: Path, sparsity: str) -> None:
    for command in (PLAN[:3], COMPRESS):
        told = refused(*command, "--sparsity", sparsity)
        assert told.startswith(f"option: sparsity: got {float(sparsity)}; should be ")


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (PLAN[:3], "--sparsity: missing, expected a number in [0, 1)"),
        ((*PLAN, "--method", "nope"), "method: unknown name 'nope', expected one of afm, "),
        ((*COMPRESS, "--method", "nope"), "method: unknown name 'nope', expected one of afm, "),
        ((*CALIBRATE, "--corpus", "nope"), "corpus: unknown name 'nope', expected one of bookcorpus, "),
        ((*PERPLEXITY, "--corpus", "nope"), "corpus: unknown name 'nope', expected one of bookcorpus, "),
        (CALIBRATE, "corpus: missing, give --corpus NAME or --text FILE"),
        (("report", "--grid", "nope"), "grid: unknown name 'nope', expected one of demo, mini, paper, plus"),
        (("report",), "--grid: missing"),
        (
            (*COMPRESS, "--attention", "qr"),
            "option: attention: got 'qr'; should be 'afm', 'awsvd', 'flap', 'joint-qk', ",
        ),
        (
            (*COMPRESS, "--ffn", "drop_all"),
            "option: ffn: got 'drop_all'; should be 'decompose', 'flap', 'llm-pruner', 'magnitude-sp', 'obs', 'prune', "
            "'slimllm', 'wanda-sp' or 'none'",
        ),
        ((*COMPRESS, "--allocation", "0"), "option: allocation: got 0.0; should be greater than 0"),
        ((*COMPRESS, "--allocation", "inf"), "option: allocation: got inf; should be a finite number"),
        ((*COMPRESS, "--keep-least", "1"), "option: keep-least: got 1.0; should be less than 1"),
        ((*COMPRESS, "--form", "sparse"), "option: form: got 'sparse'; should be 'factored' or 'dense'"),
        ((*COMPRESS, "--dtype", "int8"), "option: dtype: got 'int8'; should be 'auto', 'float32', 'float16' or"),
        ((*COMPRESS, "--batch", "0"), "option: batch: got 0; should be a whole number of at least 1, or 'auto'"),
        ((*COMPRESS, "--batch", "all"), "option: batch: got 'all'; should be a whole number of at least 1, or 'auto'"),
        ((*PERPLEXITY, "--text", "book.txt", "--batch", "0"), "option: batch: got 0; should be greater"),
        ((*PERPLEXITY, "--text", "book.txt", "--seqlen", "1"), "option: seqlen: got 1; should be greater"),
        ((*CALIBRATE, "--text", "book.txt", "--nsamples", "0"), "option: nsamples: got 0; should be greater"),
        ((*PLAN, "--tokens", "0"), "--tokens: got 0, expected at least 1"),
        ((*COST, "--dtype", "int8"), "option: dtype: got 'int8'; should be 'auto', 'float32', 'float16' or"),
        ((*COMPRESS, "--device", "abacus"), "--device abacus: not usable here (Expected one of cpu, cuda"),
        ((*COMPRESS, "--device", "meta"), "--device meta: not usable here ("),
        ((*COST, "--device", "cuda:99"), "--device cuda:99: not usable here ("),
        ((*PLAN, "--nope"), "unrecognized arguments: --nope; see 'lorap --help'"),
        ((*PLAN, "--tokens", "x"), "argument --tokens: invalid int value: 'x'; see 'lorap plan --help'"),
        (("squeeze",), "argument COMMAND: invalid choice: 'squeeze' (choose from "),
        ((*PLAN, "--params", "nowhere.yaml"), "nowhere.yaml: cannot be read (No such file or directory)"),
    ],
)
def test_a_setting_that_is_not_allowed_is_named_with_what_is(work: Path, argv: tuple[object, ...], told: str) -> None:
    assert refused(*argv).startswith(told)


def test_every_fault_of_a_params_file_has_its_line(work: Path) -> None:
    (work / "params.yaml").write_text(
        "active: [nope]\nwibble: 1\nmethods: {m: {attention: svd, ffn: prune, keep_least: 1e-4}}\n"
    )
    assert sorted(faults(call(*PLAN))) == [
        "params.yaml: active.0: got 'nope'; expected a name from grids: "
        "demo, mini, paper, plus, plus-ablation, plus-tuned, plus-zeroshot, rivals",
        "params.yaml: methods.m.keep_least: '1e-4' is text to YAML; write the number with a point, as in 1.0e-4",
        "params.yaml: wibble: unknown key, remove it or correct its spelling",
    ]


def test_a_spec_that_is_not_that_of_the_step_is_refused(work: Path) -> None:
    spec = json.dumps({"batch": 0, "code": "x"})
    assert refused("evaluate", "spectra", *COMPRESS[1:5], "--device", "cpu", "--spec", spec, "--out", "out.json") == (
        "--spec: batch: got 0; should be a whole number of at least 1, or 'auto'"
    )
