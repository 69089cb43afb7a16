"""A model folder that cannot be used ends every command with one line that names it, and leaves nothing behind."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, GPT2Config, GraniteConfig, MixtralConfig, T5Config

from lorap.data.corpora import pydoc_rows
from tests.command import call, fault, launch

pytestmark = pytest.mark.thorough

WEIGHTS = "model.safetensors"
INDEX = f"{WEIGHTS}.index.json"
DAMAGED = f"model/{WEIGHTS}: damaged or truncated safetensors ("
Damage = Callable[[Path], Any]


@pytest.fixture
def work(tmp_path: Path, tiny_folder: Path, windows: Tensor, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: a copy of a good model, a text and a calibration file."""
    (tmp_path / "model").mkdir()
    for file in tiny_folder.iterdir():
        (tmp_path / "model" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "book.txt").write_text(pydoc_rows("tuning")[0])
    save_file({"input_ids": windows}, tmp_path / "calibration.safetensors")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusals(work: Path, commands: tuple[str, ...] = ("compress", "perplexity", "cost", "spectra")) -> set[str]:
    """The lines that the commands that read a model end with; none may leave a file."""
    data, text = ("--calibration", "calibration.safetensors"), ("--text", "book.txt", "--windows", 1)
    options = {
        "plan": ("plan", "--sparsity", 0.5),
        "compress": ("compress", *data, "--sparsity", 0.5, "--out", "out"),
        "perplexity": ("evaluate", "perplexity", *text, "--out", "out.json"),
        "cost": ("evaluate", "cost", "--out", "out.json"),
        "spectra": ("evaluate", "spectra", *data, "--out", "out.json"),
        "export": ("export", "--out", "out"),
        "calibrate": ("calibrate", "--text", "book.txt", "--out", "out.safetensors"),
    }
    before = set(work.rglob("*"))
    lines = {fault(call(*options[name], "--model", "model")) for name in commands}
    assert set(work.rglob("*")) == before
    return lines


def in_config(**changes: Any) -> Damage:
    """A change of config.json; None removes a key."""

    def damage(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text()) | changes
        config = {key: value for key, value in config.items() if value is not None}
        (folder / "config.json").write_text(json.dumps(config))

    return damage


def shards(folder: Path) -> list[Path]:
    """Splits the weights into several files."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    (folder / WEIGHTS).unlink()
    model.save_pretrained(folder, max_shard_size="100KB")
    return sorted(folder.glob("model-*.safetensors"))


def written(name: str, data: bytes) -> Damage:
    return lambda folder: (folder / name).write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda folder: os.truncate(folder / WEIGHTS, 100_000), DAMAGED),
        (lambda folder: os.truncate(folder / WEIGHTS, 50), DAMAGED),
        (written(WEIGHTS, b""), DAMAGED),
        (
            written(WEIGHTS, b"\x28" + bytes(7) + b"garbage " * 99),
            f"model/{WEIGHTS}: damaged or truncated safetensors (",
        ),
        (lambda folder: (folder / WEIGHTS).unlink(), f"model: no {WEIGHTS} and no {INDEX}; only safetensors are read"),
        (lambda folder: shards(folder)[1].unlink(), "model/model-00002-of-00005.safetensors: missing, though "),
        (lambda folder: os.truncate(shards(folder)[1], 99), "model/model-00002-of-00005.safetensors: damaged"),
        (written(INDEX, b"{}"), f"model/{INDEX}: damaged, it has no weight_map"),
        (written(INDEX, b"{"), f"model/{INDEX}: not valid JSON ("),
    ],
)
def test_damaged_weights_are_named_by_their_file(work: Path, damage: Damage, told: str) -> None:
    damage(work / "model")
    (line,) = refusals(work)
    assert line.startswith(told)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (written("config.json", b'{"a":'), "model/config.json: not valid JSON ("),
        (written("config.json", b"[]"), "model/config.json: not a usable configuration (no JSON object)"),
        (written("config.json", b"\xff\xfe"), "model/config.json: not valid JSON ("),
        (in_config(model_type=None), "model/config.json: not a usable configuration (Unrecognized model"),
        (in_config(model_type="wibble"), "model/config.json: not a usable configuration (The checkpoint you are"),
        (in_config(hidden_size=None), "model/config.json: hidden_size: missing, required of a llama model"),
        (in_config(num_hidden_layers=None), "model/config.json: num_hidden_layers: missing, required of a llama model"),
        (in_config(hidden_size="64"), "model/config.json: hidden_size: got '64', expected a whole number"),
        (in_config(num_attention_heads=0), "model/config.json: num_attention_heads: got 0, expected a whole number"),
        (in_config(num_hidden_layers=-1), "model/config.json: num_hidden_layers: got -1, expected a whole number"),
        (in_config(num_attention_heads=5, head_dim=None), "model/config.json: not a usable configuration ("),
        (in_config(dtype="float7"), "model/config.json: not a usable configuration ("),
        (in_config(hidden_act="wibble"), "llama: architecture not supported (unknown name 'wibble')"),
    ],
)
def test_a_wrong_configuration_is_named_by_its_key_even_where_no_weights_are_needed(
    work: Path, damage: Damage, told: str
) -> None:
    damage(work / "model")
    (line,) = refusals(work, ("plan", "compress", "perplexity", "cost", "spectra"))
    assert line.startswith(told)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"hidden_size": 128}, "embed_tokens.weight is (300, 64), but config.json makes it (300, 128)"),
        ({"vocab_size": 200}, "embed_tokens.weight is (300, 64), but config.json makes it (200, 64)"),
        ({"intermediate_size": 100}, "gate_proj.weight is (96, 64), but config.json makes it (100, 64)"),
        ({"num_key_value_heads": 4}, "k_proj.weight is (32, 64), but config.json makes it (64, 64)"),
        ({"num_hidden_layers": 4}, "no tensor model.layers.3.self_attn.q_proj.weight in its safetensors"),
        ({"num_hidden_layers": 2}, "model.layers.2.input_layernorm.weight is no part of the model that config.json"),
        ({"model_type": "qwen2"}, "no tensor model.layers.0.self_attn.q_proj.bias in its safetensors"),
        ({"tie_word_embeddings": False}, "no tensor lm_head.weight in its safetensors; the folder is incomplete"),
    ],
    ids=str,
)
def test_weights_of_another_shape_than_the_configuration_says_are_refused_before_any_work(
    work: Path, change: dict[str, Any], told: str
) -> None:
    in_config(**change)(work / "model")
    (line,) = refusals(work)
    assert told in line


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (
            GPT2Config(n_layer=1, n_embd=8, n_head=2),
            "GPT2LMHeadModel: architecture not supported, expected model.layers",
        ),
        (T5Config(), "t5: architecture not supported (Unrecognized configuration class"),
        (MixtralConfig(num_hidden_layers=1), "MixtralForCausalLM: architecture not supported, layer 0 has no linear"),
        (GraniteConfig(logits_scaling=8.0), "GraniteForCausalLM: architecture not supported, it scales embeddings or"),
    ],
    ids=lambda value: getattr(value, "model_type", ""),
)
def test_an_architecture_that_is_not_supported_is_refused_by_name(work: Path, config: Any, told: str) -> None:
    config.save_pretrained(work / "model")
    (line,) = refusals(work, ("plan", "compress", "cost", "spectra"))
    assert line.startswith(told)


def test_a_folder_that_is_not_there_is_named_by_every_command(work: Path) -> None:
    (work / "model").rename(work / "elsewhere")
    everyone = ("plan", "calibrate", "compress", "perplexity", "cost", "spectra", "export")
    assert refusals(work, everyone) == {
        "model: no model there, expected a folder with a config.json; see 'lorap fetch --help'"
    }


@pytest.mark.parametrize("data", [None, b"garbage", b"{}", b'{"version": "1.0"'])
def test_a_missing_or_damaged_tokenizer_is_told(work: Path, data: bytes | None) -> None:
    (work / "model" / "tokenizer.json").unlink()
    if data is not None:
        (work / "model" / "tokenizer.json").write_bytes(data)
    (line,) = refusals(work, ("calibrate", "perplexity"))
    assert line.startswith("model: no tokenizer" if data is None else "model: tokenizer cannot be read (")


def test_a_stock_model_is_not_exported(work: Path) -> None:
    assert refusals(work, ("export",)) == {"model: is a stock llama model already, nothing to export"}


@pytest.mark.system
def test_a_process_of_its_own_ends_with_the_line_alone(work: Path) -> None:
    os.truncate(work / "model" / WEIGHTS, 100_000)
    data = ("--calibration", "calibration.safetensors", "--sparsity", 0.5)
    done = launch(work, "compress", "--model", "model", *data, "--out", "out")
    assert fault(done).startswith(DAMAGED)
    assert done.code == 1
