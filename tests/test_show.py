"""``lorap show``: what a folder or a file is, from its configuration, its meta and the headers of its weights."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.adapters import random_adapter
from tests.command import refused, succeed

HEAVY = {"torch", "transformers", "peft", "datasets"}


@pytest.fixture
def small(work: Path) -> Path:
    """A compressed model in the working folder."""
    succeed("compress", "--model", "model", "--calibration", "c.safetensors", "--sparsity", 0.5, "--out", "small")
    return work / "small"


def shown(path: object) -> dict[str, Any]:
    """What ``lorap show --json`` says, which a person must be shown too."""
    found: dict[str, Any] = json.loads(succeed("show", path, "--json"))
    assert succeed("show", path).startswith(found["kind"])
    return found


def test_a_compressed_model_says_what_lorap_plan_said(small: Path) -> None:
    plan = json.loads(succeed("plan", "--model", "model", "--sparsity", 0.5, "--json"))
    found = shown("small")
    assert (found["kind"], found["model_type"], found["dtype"]) == ("compressed model", "llama", "F32")
    assert (found["parameters"], found["layers"]) == (plan["parameters"], plan["layers"])
    assert found["bytes"] == sum(file.stat().st_size for file in small.iterdir())
    assert found["meta"] == json.loads((small / "meta.json").read_text())


def test_a_person_sees_runs_of_equal_layers_and_the_method(small: Path) -> None:
    config = json.loads((small / "config.json").read_text())
    config["lorap"]["layers"][2]["channels"] = 7
    (small / "config.json").write_text(json.dumps(config))
    text = succeed("show", "small")
    lines = {line.split("  ")[0]: line for line in text.splitlines()}
    rank = config["lorap"]["layers"][0]["ranks"]["q_proj"]
    assert f"q_proj {rank}" in lines["layers 0-1"]
    assert "down_proj dense" in lines["layers 0-1"]
    assert "channels 7" in lines["layer 2"]
    assert "attention awsvd" in lines["method"]
    assert "sparsity 0.5" in lines["settings"]


def test_a_dense_model_an_adapter_and_a_file_of_another_tool_are_known(work: Path) -> None:
    assert shown("model")["kind"] == "dense model"
    assert shown("model")["meta"] == {}
    random_adapter(work / "model", work / "adapter")
    assert (shown("adapter")["kind"], shown("adapter")["details"]["r"]) == ("adapter", 4)
    assert (shown("c.safetensors")["kind"], shown("c.safetensors")["details"]["shape"]) == ("calibration", [12, 24])


def test_a_calibration_a_measurement_and_a_manifest_of_lorap_say_how_they_were_made(work: Path) -> None:
    succeed("fetch", "model", "--out", "fetched")
    text = ("--model", "fetched", "--text", "book.txt")
    succeed("calibrate", *text, "--nsamples", 3, "--seqlen", 8, "--out", "own.safetensors")
    assert (
        shown("own.safetensors")["details"] | {"shape": [3, 8], "corpus": "book.txt", "seed": "0"}
        == shown("own.safetensors")["details"]
    )
    succeed("evaluate", "perplexity", *text, "--windows", 1, "--seqlen", 8, "--out", "p.json")
    assert shown("p.json")["meta"]["inputs"].keys() == {"model", "text"}
    shutil.copy("fetched/meta.json", "manifest.json")
    assert shown("manifest.json")["meta"]["origin"] == {"source": "folder", "folder": "model"}


def test_what_is_nothing_or_damaged_is_an_error_of_one_line(work: Path, small: Path) -> None:
    assert refused("show", "missing").startswith("missing: nothing there")
    assert refused("show", "book.txt").startswith("book.txt: neither a model folder nor an adapter")
    config = json.loads((small / "config.json").read_text())
    damages: list[tuple[object, str]] = [
        (config | {"lorap": {"layers": 3}}, "lorap.layers: expected"),
        (config | {"lorap": {"layers": [{"channels": -1}]}}, "layer 0: (-1, "),
        (config | {"hidden_size": "wide"}, "hidden_size: got 'wide', expected a whole number"),
        ([], "no JSON object"),
    ]
    for damaged, told in damages:
        (small / "config.json").write_text(json.dumps(damaged))
        assert told in refused("show", "small")
    (small / "config.json").unlink()
    (small / "model.safetensors").write_bytes(b"\x08" + bytes(7) + b"not JSON")
    assert refused("show", "small").startswith("small/model.safetensors: damaged or not safetensors")


def test_nothing_that_a_file_says_reaches_the_terminal_as_a_command(small: Path) -> None:
    config = json.loads((small / "config.json").read_text())
    config["base_model_type"] = config["lorap"]["\x1b[2J"] = "\x1b[31mred"
    (small / "config.json").write_text(json.dumps(config))
    assert "\x1b" not in succeed("show", "small")


def test_showing_loads_no_weights_and_no_heavy_library(small: Path) -> None:
    code = "import sys; from lorap.cli import main; main(['show', 'small']); print(*sys.modules)"
    path = {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | path, capture_output=True, check=True)
    loaded = set(done.stdout.decode().splitlines()[-1].split())
    assert "lorap.cli.show" in loaded
    assert not loaded & HEAVY
