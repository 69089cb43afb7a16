"""The tokenizer of a model folder: read without running its code."""

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from lorap.errors import LorapError
from lorap.model.folder import read_config
from lorap.model.reading import reading

FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")


def find_tokenizer(folder: Path) -> PreTrainedTokenizerBase | None:
    """The tokenizer in a model folder, None where it has none."""
    return load_tokenizer(folder) if any((folder / name).is_file() for name in FILES) else None


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer in a model folder.

    Raises:
        LorapError: The folder has none, or it cannot be used.
    """
    read_config(folder)  # transformers reads it too, and would blame the tokenizer for its faults
    if not any((folder / name).is_file() for name in FILES):
        raise LorapError(f"{folder}: no tokenizer in the model folder, expected tokenizer.json")
    with reading(f"{folder}: tokenizer cannot be read"):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    longest = tokenizer.model_max_length
    if not isinstance(longest, int | float):
        raise LorapError(f"{folder / 'tokenizer_config.json'}: model_max_length: got {longest!r}, expected a number")
    return tokenizer
