"""Recovery told to work on what it cannot: one line each, and nothing is left behind."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.command import refused, succeed

pytestmark = pytest.mark.thorough

TUNE = [
    "tune",
    "--model",
    "small",
    "--out",
    "adapter",
    "--cutoff",
    16,
    "--held-out",
    2,
    "--batch",
    4,
    "--micro-batch",
    4,
]


@pytest.fixture
def compressed(work: Path) -> Path:
    """A working folder with a compressed model."""
    succeed("compress", "--model", "model", "--calibration", "c.safetensors", "--sparsity", 0.5, "--out", "small")
    return work


@pytest.mark.parametrize(
    ("options", "start"),
    [
        (["--data", "nope"], "--data: 'nope' is no file, and no corpus of alpaca, "),
        (["--data", "rows.jsonl"], "rows.jsonl: row 2 has no text in 'output', expected instruction, input, output"),
        (["--data", "short.txt"], "short.txt: no row has a response within 16 tokens"),
        (["--data", "book.txt", "--held-out", 9999], "book.txt: "),
        (["--data", "book.txt", "--form", "thin"], "option: form: got 'thin'; should be 'factored' or 'dense'"),
        (["--data", "book.txt", "--dtype", "float16"], "dtype: float16 tuning needs a GPU"),
        (["--data", "book.txt", "--device", "cuda:7"], "--device cuda:7: not usable here"),
        (["--data", "book.txt", "--micro-batch", 3], "batch: 4 is no multiple of micro_batch x processes, 3"),
        (["--data", "book.txt", "--rank", 0], "option: rank: got 0; "),
        (["--data", "book.txt", "--learning-rate", "1e30", "--max-steps", 3, "--warmup-steps", 0], "step "),
        (["--tuning", "nope"], "tuning: unknown name 'nope', expected one of alpaca, "),
    ],
)
def test_a_tuning_that_cannot_be_is_refused(compressed: Path, options: list[object], start: str) -> None:
    rows = [{"instruction": "a", "input": "", "output": "b"}, {"instruction": "a", "input": ""}]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("short.txt").write_text("no.")
    assert refused(*TUNE, *options).startswith(start)


@pytest.mark.parametrize(
    ("options", "start"),
    [
        (["--adapter", "nope"], "nope: no adapter there, expected adapter_config.json and adapter_model.safetensors"),
        (
            ["--adapter", "adapter", "--rank", "half"],
            "--rank: got 'half', expected k+r, k or a whole number of at least 1",
        ),
        (["--adapter", "adapter", "--rank", "0"], "--rank: got '0', expected"),
        (
            ["--adapter", "adapter", "--rank", "k", "--calibration", "nope"],
            "nope: no such file; make it with 'lorap cal",
        ),
        (["--adapter", "adapter", "--model", "model"], "adapter: was tuned on another model than model"),
    ],
)
def test_a_redecomposition_that_cannot_be_is_refused(compressed: Path, options: list[object], start: str) -> None:
    succeed(*TUNE, "--data", "book.txt", "--max-steps", 1)
    faults = refused("redecompose", "--model", "small", "--out", "tuned", *options)
    assert faults.startswith(start)


@pytest.mark.parametrize("measure", [["perplexity", "--text", "book.txt"], ["cost"], ["zeroshot", "--tasks", "pydoc"]])
def test_a_measurement_with_an_adapter_of_another_model_is_refused(compressed: Path, measure: list[str]) -> None:
    succeed(*TUNE, "--data", "book.txt", "--max-steps", 1)
    command = ["evaluate", *measure, "--model", "model", "--adapter", "adapter", "--out", "out.json"]
    assert refused(*command).startswith("adapter: was tuned on another model than model (hashes differ)")


@pytest.mark.parametrize(
    ("meta", "told"),
    [
        ([], "adapter/meta.json: damaged, expected a JSON object; make the artifact again"),
        ({"inputs": 5}, "adapter/meta.json: damaged, it has no inputs.model; run 'lorap tune' again"),
        ({"spec": {"tune": {}}}, "adapter/meta.json: damaged, it has no spec.tune.form; run 'lorap tune' again"),
        (
            {"spec": {"tune": {"form": "thin"}}},
            "adapter/meta.json: spec.tune.form is 'thin', expected one of factored, dense",
        ),
    ],
)
def test_a_damaged_record_of_an_adapter_is_named(compressed: Path, meta: Any, told: str) -> None:
    succeed(*TUNE, "--data", "book.txt", "--max-steps", 1)
    file = Path("adapter/meta.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | meta if isinstance(meta, dict) else meta))
    command = ("evaluate", "cost", "--model", "small", "--adapter", "adapter", "--out", "out.json")
    assert refused(*command) == told


def test_tuning_does_not_fill_the_padding_of_an_export(work: Path) -> None:
    """Layers of unequal widths become those of a stock class by zeros; the folder that they come from is tuned."""
    compress = ("compress", "--model", "model", "--calibration", "c.safetensors", "--method", "flap+refit")
    succeed(*compress, "--sparsity", 0.5, "--out", "small")
    succeed("export", "--model", "small", "--out", "stock")
    told = refused(*TUNE, "--data", "book.txt", "--max-steps", 1, "--model", "stock")
    assert re.match(r"stock: layer \d: \d+ of \d+ (values|channels) are zeros, the padding of an export, ", told)
    succeed(*TUNE, "--data", "book.txt", "--max-steps", 1)
