"""The scripts in examples/ run as they stand, on a tiny model."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM

ROOT = Path(__file__).parents[1]


def run(script: str, folder: Path, *argv: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "examples" / script), *map(str, argv)]
    variables = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)


@pytest.mark.system
@pytest.mark.parametrize("texts", [(), ("--text", "book.txt", "--held-out", "book.txt")], ids=["reference", "own"])
def test_a_model_is_compressed_measured_and_exported(work: Path, texts: tuple[str, ...]) -> None:
    done = run("compress_your_model.py", work, "model", *texts, "--windows", 4, "--sparsity", 0.3, 0.5)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith(("dense", "lorap"))]
    parameters = [int(row[-3].replace(",", "")) for row in rows]
    assert [row[:-4] for row in rows] == [["dense"], ["lorap", "0.3"], ["lorap", "0.5"]]
    assert sorted(parameters, reverse=True) == parameters
    assert f"sparsity 0.5: {parameters[2]:,} parameters" in done.stdout
    assert type(AutoModelForCausalLM.from_pretrained(work / "compressed/stock")).__name__ == "LlamaForCausalLM"


def test_one_text_alone_is_refused_before_anything_is_made(work: Path) -> None:
    done = run("compress_your_model.py", work, "model", "--text", "book.txt")
    assert done.returncode == 2
    assert not (work / "compressed").exists()
