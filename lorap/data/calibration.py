"""The calibration file: windows of tokens in safetensors, with where they came from."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from lorap.errors import LorapError, first_line
from lorap.files import sha256_text

TENSOR = "input_ids"
METADATA = "__metadata__"  # in the header of a safetensors file


def write_calibration(path: Path, input_ids: Tensor, origin: Mapping[str, str]) -> None:
    """Writes windows (nsamples, seqlen), int64, and their origin as metadata; the same bytes for the same content."""
    path.write_bytes(_in_order(save({TENSOR: input_ids.contiguous()}, metadata=dict(origin))))


def read_calibration(path: Path, tokenizer: PreTrainedTokenizerBase | None) -> Tensor:
    """The windows of a calibration file: (nsamples, seqlen), int64.

    Args:
        path: A safetensors file with ``input_ids``; metadata is optional.
        tokenizer: Of the model to be compressed, to compare with the metadata; None where the model has none.

    Raises:
        LorapError: Not such a file, or made with another tokenizer.
    """
    if not path.is_file():
        raise LorapError(f"{path}: no such file; make it with 'lorap calibrate'")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if TENSOR not in file.keys():
                raise LorapError(f"{path}: no tensor {TENSOR}; make the file with 'lorap calibrate'")
            input_ids = file.get_tensor(TENSOR)
    except (SafetensorError, OSError) as error:
        raise LorapError(
            f"{path}: damaged or not safetensors ({first_line(error)}); make it with 'lorap calibrate'"
        ) from error
    if input_ids.dtype != torch.int64 or input_ids.dim() != 2 or input_ids.numel() == 0:
        raise LorapError(
            f"{path}: {TENSOR} is {input_ids.dtype} {tuple(input_ids.shape)}, expected int64 (nsamples, seqlen)"
        )
    made_with = metadata.get("tokenizer")
    if tokenizer is not None and made_with is not None and made_with != tokenizer_hash(tokenizer):
        raise LorapError(f"{path}: was made with another tokenizer than the model's; run 'lorap calibrate' again")
    return input_ids


def _in_order(data: bytes) -> bytes:
    """The bytes of a safetensors file with its metadata sorted: the library writes them in an order drawn at random."""
    begin = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:begin])
    header[METADATA] = dict(sorted(header.get(METADATA, {}).items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[begin:]


def tokenizer_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    """sha256 of the vocabulary, which is what ids mean."""
    return sha256_text(json.dumps(tokenizer.get_vocab(), sort_keys=True))


def rows_hash(rows: Sequence[str]) -> str:
    """sha256 of all rows in order, each with its length before it."""
    digest = hashlib.sha256()
    for row in rows:
        data = row.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()
