"""Settings and weights that are well-formed but cannot be: each is named in one line, even where a library chokes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.command import refused, succeed
from tests.damages import NESTED, written
from tests.hostile import change
from tests.limits import assert_accepted_or_refused, bounded

PERPLEXITY = ("evaluate", "perplexity", "--text", "book.txt", "--windows", 1, "--model", "model", "--out", "out.json")
COMPRESS = ("compress", "--model", "model", "--calibration", "c.safetensors", "--sparsity", 0.5, "--out", "out")
PLAN = ("plan", "--model", "model", "--sparsity", 0.5)
WEIGHTS = Path("model/model.safetensors")


@pytest.fixture
def own_model(work: Path, tiny_folder: Path) -> Path:
    """The model of the working folder, as a copy that may be changed."""
    (work / "model").unlink()
    return Path(shutil.copytree(tiny_folder, work / "model"))


def in_file(name: str, **settings: Any) -> Callable[[], None]:
    return lambda: change(Path("model", name), **settings)


def nest() -> None:
    Path("model/config.json").write_bytes(written({"hidden_size": NESTED}))


def without_unknown() -> None:
    """A tokenizer of two words, and no token for others."""
    tokenizer = json.loads(Path("model/tokenizer.json").read_text())
    model = {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 9,
    }
    tokenizer["model"] = model | {"vocab": {"to": 0, "be": 1}}
    Path("model/tokenizer.json").write_text(json.dumps(tokenizer))


def as_integers() -> None:
    tensors = load_file(WEIGHTS)
    tensors["model.norm.weight"] = tensors["model.norm.weight"].view(torch.int32)
    save_file(tensors, WEIGHTS)


def enlarged() -> None:
    tensors = load_file(WEIGHTS)
    tensors["model.norm.weight"] *= 1e20
    save_file(tensors, WEIGHTS)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (
            in_file("tokenizer.json", truncation=5),
            "model: tokenizer cannot be read (invalid type: integer `5`, expected",
        ),
        (in_file("tokenizer.json", model={}), "model: tokenizer cannot be read ("),
        (
            in_file("tokenizer_config.json", model_max_length="many"),
            "model/tokenizer_config.json: model_max_length: got 'many', expected a number",
        ),
        (without_unknown, "model: tokenizer cannot be used (WordPiece error: Missing [UNK] token"),
        (nest, "model/config.json: not valid JSON ("),
        (in_file("config.json", hidden_size=True), "model/config.json: hidden_size: got True, expected a whole number"),
        (in_file("config.json", pad_token_id=300), "llama: architecture not supported (Padding_idx must be within"),
        (as_integers, "model/model.safetensors: model.norm.weight is of type I32, expected F32 or F16 or BF16 or F64"),
        (enlarged, "book.txt: 3.46e+20 nats a token, too many for a perplexity; are the weights damaged?"),
    ],
)
def test_what_a_library_chokes_on_is_named(own_model: Path, damage: Callable[[], None], told: str) -> None:
    damage()
    assert refused(*PERPLEXITY).startswith(told)


def test_what_a_model_returns_beside_its_logits_is_not_for_a_folder_to_say(own_model: Path) -> None:
    succeed(*PERPLEXITY)
    perplexity = json.loads(Path("out.json").read_text())["perplexity"]
    change(own_model / "config.json", return_dict=False, output_hidden_states=3)
    succeed(*PERPLEXITY)
    assert json.loads(Path("out.json").read_text())["perplexity"] == perplexity


def test_a_dtype_that_is_not_written_is_refused_by_every_command_that_writes_weights(own_model: Path) -> None:
    succeed(*COMPRESS)
    change(Path("out/config.json"), dtype="float64")
    assert "torch.float64 is no dtype that lorap writes" in refused("export", "--model", "out", "--out", "stock")


HUGE = {
    "vocab_size": 10**12,
    "hidden_size": 10**15,
    "intermediate_size": 2**62,
    "num_hidden_layers": 10**9,
    "num_attention_heads": 10**9,
    "num_key_value_heads": 10**12,
    "head_dim": 10**12,
    "max_position_embeddings": 10**18,
    "sliding_window": 10**18,
    "pad_token_id": 10**12,
    "num_labels": 10**9,
    "rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 1e18},
    "rms_norm_eps": 10**400,
}


@pytest.mark.parametrize("key", HUGE)
def test_a_huge_number_is_answered_soon(own_model: Path, key: str) -> None:
    change(own_model / "config.json", **{key: HUGE[key]})
    for command in (PLAN, COMPRESS[:-1], PERPLEXITY[:-1]):
        with bounded():
            assert_accepted_or_refused(*command, *(() if command == PLAN else ("out",)))
        shutil.rmtree("out", ignore_errors=True)
        for file in Path().glob("out*"):
            file.unlink()


@pytest.mark.parametrize("key", ["ranks", "channels", "heads", "kv_heads", "value_dim"])
def test_a_huge_number_in_the_plan_of_a_layer_is_answered_soon(own_model: Path, key: str) -> None:
    succeed(*COMPRESS[:-1], "small")
    section = json.loads(Path("small/config.json").read_text())["lorap"]
    section["layers"][0][key] = {"q_proj": 10**12} if key == "ranks" else 10**12
    change(Path("small/config.json"), lorap=section)
    for command in (("export",), ("evaluate", "cost"), ("redecompose", "--adapter", "adapter")):
        with bounded():
            assert_accepted_or_refused(*command, "--model", "small", "--out", "out")
