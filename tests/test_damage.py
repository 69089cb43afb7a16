"""A damaged model folder is named in one line, with what is wrong with it, and leaves nothing behind."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lorap.compression.run import compress
from lorap.errors import LorapError
from lorap.files import new_folder
from lorap.model.folder import load_model
from tests.compare import CPU, spec_of
from tests.conftest import FAMILIES, save_random_model

SINGLE = "model.safetensors"
UP = "model.layers.1.mlp.up_proj.weight"


def remove_a_shard(folder: Path) -> str:
    index = json.loads((folder / f"{SINGLE}.index.json").read_text())
    shard: str = index["weight_map"][UP]
    (folder / shard).unlink()
    return shard


def truncate(folder: Path) -> str:
    data = (folder / SINGLE).read_bytes()
    (folder / SINGLE).write_bytes(data[: len(data) // 2])
    return SINGLE


def cut_the_header(folder: Path) -> str:
    (folder / SINGLE).write_bytes((folder / SINGLE).read_bytes()[:4])
    return SINGLE


def remove_a_tensor(folder: Path) -> str:
    tensors = load_file(folder / SINGLE)
    del tensors[UP]
    save_file(tensors, folder / SINGLE, metadata={"format": "pt"})
    return UP


def reshape_a_tensor(folder: Path) -> str:
    tensors = load_file(folder / SINGLE)
    tensors[UP] = tensors[UP][:-1].clone()
    save_file(tensors, folder / SINGLE, metadata={"format": "pt"})
    return UP


def spoil_a_weight(folder: Path) -> str:
    tensors = load_file(folder / SINGLE)
    tensors[UP][3, 5] = torch.nan
    save_file(tensors, folder / SINGLE, metadata={"format": "pt"})
    return UP


def remove_all_weights(folder: Path) -> str:
    (folder / SINGLE).unlink()
    return SINGLE


def damaged(folder: Path, tokenizer: Path, damage: Callable[[Path], str]) -> str:
    """Makes a model in ``folder`` and damages it; returns what the message must name."""
    shards = {"max_shard_size": "50KB"} if damage is remove_a_shard else {}
    save_random_model(FAMILIES["llama-gqa"](), folder, tokenizer, **shards)
    return damage(folder)


@pytest.mark.parametrize(
    "damage",
    [
        remove_a_shard,
        truncate,
        cut_the_header,
        remove_a_tensor,
        reshape_a_tensor,
        spoil_a_weight,
        remove_all_weights,
    ],
)
def test_compression_of_a_damaged_folder_names_the_damage_and_leaves_no_output(
    tokenizer_folder: Path, windows: Tensor, tmp_path: Path, damage: Callable[[Path], str]
) -> None:
    name = damaged(tmp_path / "model", tokenizer_folder, damage)
    with pytest.raises(LorapError) as raised, new_folder(tmp_path / "out") as out:
        compress(spec_of(0.5), tmp_path / "model", windows, out, CPU, quiet=True)
    assert name in str(raised.value)
    assert "\n" not in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    "damage", [remove_a_shard, truncate, cut_the_header, remove_a_tensor, reshape_a_tensor, remove_all_weights]
)
def test_a_damaged_folder_is_never_evaluated_with_random_weights(
    tokenizer_folder: Path, tmp_path: Path, damage: Callable[[Path], str]
) -> None:
    name = damaged(tmp_path / "model", tokenizer_folder, damage)
    with pytest.raises(LorapError) as raised:
        load_model(tmp_path / "model")
    assert name in str(raised.value)
    assert "\n" not in str(raised.value)
