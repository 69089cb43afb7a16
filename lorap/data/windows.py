"""Windows of tokens: drawn at random for calibration, cut one after the other for perplexity."""

import random
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from lorap.data.tokens import encode
from lorap.errors import LorapError


def draw_windows(
    tokenizer: PreTrainedTokenizerBase, rows: Sequence[str], nsamples: int, seqlen: int, seed: int, name: str = "text"
) -> Tensor:
    """Random windows from random rows, as published (method.md, 1): (nsamples, seqlen), int64.

    A row is drawn until one has more than ``seqlen`` tokens, then a window in it; of one row only windows are drawn.
    ``name`` is the text's, for messages.

    Raises:
        LorapError: No row is longer than a window.
    """
    draw = random.Random(seed)
    tokens: dict[int, list[int]] = {}
    windows: list[list[int]] = []
    while len(windows) < nsamples:
        index = draw.randint(0, len(rows) - 1) if len(rows) > 1 else 0
        if rows and index not in tokens:
            ids = encode(tokenizer, rows[index], verbose=False)
            tokens[index] = ids if len(ids) > seqlen else []
        if not windows and len(tokens) == len(rows) and not any(tokens.values()):
            raise LorapError(f"{name}: too short, no row of {len(rows)} has more than {seqlen} tokens; lower --seqlen")
        if tokens[index]:
            start = draw.randint(0, len(tokens[index]) - seqlen - 1)
            windows.append(tokens[index][start : start + seqlen])
    return torch.tensor(windows, dtype=torch.int64)


def cut_windows(
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    seqlen: int,
    windows: int | None,
    split_special_tokens: bool,
    name: str = "text",
) -> Tensor:
    """Windows without overlap from one text in one tokeniser call: (windows, seqlen), int64; the remainder is dropped.

    Args:
        tokenizer: Adds what it adds to a text, such as one BOS.
        text: The whole text.
        seqlen: Tokens a window.
        windows: Take only the first so many; None takes all.
        split_special_tokens: Read ``<unk>`` and its like as letters, not as one token.
        name: Of the text, for messages.

    Raises:
        LorapError: The text is too short for the windows asked for.
    """
    ids = encode(tokenizer, text, split_special_tokens=split_special_tokens, verbose=False)
    available = len(ids) // seqlen
    wanted = available if windows is None else windows
    if available < max(1, wanted):
        raise LorapError(
            f"{name}: too short, {len(ids)} tokens make {available} windows of {seqlen}, {max(1, wanted)} asked for"
        )
    return torch.tensor(ids[: wanted * seqlen], dtype=torch.int64).view(wanted, seqlen)
