"""A GGUF file that is damaged or lacks a part of the model is refused, soon and in one line."""

import struct
from pathlib import Path

import pytest

from tests.command import call, fault
from tests.gguf_file import write_gguf
from tests.limits import bounded

KINDS = b"tokenizer.ggml.token_type"  # a list: its key, type (uint32), type of values (uint32), length (uint64)
LAYERS = b"llama.block_count"  # a number: its key, type (uint32), value (uint32)


@pytest.fixture(scope="module")
def gguf_file(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tiny_folder, tmp_path_factory.mktemp("gguf") / "tiny.gguf")


def refusal(data: bytes, folder: Path) -> str:
    """Why a file with these bytes is refused; nothing may be left of it."""
    (folder / "bad.gguf").write_bytes(data)
    with bounded():
        line = fault(call("fetch", folder / "bad.gguf", "--out", folder / "out"))
    assert [file.name for file in folder.iterdir()] == ["bad.gguf"]
    assert line.startswith("bad.gguf: cannot be read as GGUF (")
    return line


def replaced(data: bytes, key: bytes, skipped: int, value: bytes) -> bytes:
    """The file with other bytes some way behind a key."""
    start = data.index(key) + len(key) + skipped
    return data[:start] + value + data[start + len(value) :]


@pytest.mark.parametrize("size", [0, 4, 100, 5000, 100_000, -1])
def test_a_gguf_file_cut_short_is_refused(gguf_file: Path, tmp_path: Path, size: int) -> None:
    refusal(gguf_file.read_bytes()[:size], tmp_path)


def test_a_file_of_another_kind_is_refused(gguf_file: Path, tmp_path: Path) -> None:
    assert "(it does not begin with GGUF)" in refusal(b"GGML" + gguf_file.read_bytes()[4:], tmp_path)


@pytest.mark.parametrize("count", [2**20, 2**40, 2**63], ids=lambda count: f"2**{count.bit_length() - 1}")
def test_a_list_that_is_longer_than_the_file_is_not_followed(gguf_file: Path, tmp_path: Path, count: int) -> None:
    refusal(replaced(gguf_file.read_bytes(), KINDS, 8, struct.pack("<Q", count)), tmp_path)


def test_layers_that_nobody_has_are_not_made(gguf_file: Path, tmp_path: Path) -> None:
    line = refusal(replaced(gguf_file.read_bytes(), LAYERS, 4, struct.pack("<I", 2**31)), tmp_path)
    assert "(llama.block_count: got 2147483648, expected at most 1000)" in line


def test_weights_that_are_not_in_the_file_are_not_made_up(gguf_file: Path, tmp_path: Path) -> None:
    line = refusal(replaced(gguf_file.read_bytes(), LAYERS, 4, struct.pack("<I", 4)), tmp_path)
    assert " weights of a model of " in line


def test_a_tensor_of_another_name_is_missed(gguf_file: Path, tmp_path: Path) -> None:
    line = refusal(gguf_file.read_bytes().replace(b"blk.1.ffn_up.weight", b"blk.1.ffn_uq.weight"), tmp_path)
    assert "(no tensor for model.layers.1.mlp.up_proj.weight)" in line
