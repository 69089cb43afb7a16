"""The tokens of a text; nothing of a model is imported here, so that no calibration is stale when a model's code is."""

from typing import Any

from transformers import PreTrainedTokenizerBase

from lorap.model.reading import reading


def encode(tokenizer: PreTrainedTokenizerBase, text: str, **options: Any) -> list[int]:
    """The ids of a text, with whatever the tokenizer adds to one; ``options`` are those of the tokenizer.

    Raises:
        LorapError: The tokenizer has no id for a part of the text, or its settings contradict each other.
    """
    with reading(f"{tokenizer.name_or_path}: tokenizer cannot be used"):
        ids: list[int] = tokenizer(text, **options)["input_ids"]
    return ids
