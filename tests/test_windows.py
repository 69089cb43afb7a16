"""Windows: the published draws for calibration, and the published cuts for perplexity."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from tokenizers import processors
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from lorap.data.corpora import pydoc_rows
from lorap.data.windows import cut_windows, draw_windows
from lorap.errors import LorapError


@pytest.fixture
def tokenizer(tokenizer_folder: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(tokenizer_folder)


@pytest.fixture
def with_bos(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """Begins every text with <s>, as LLaMA's tokenizer does."""
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
    )
    return tokenizer


def published_draws(
    tokenizer: PreTrainedTokenizerBase, rows: Sequence[str], nsamples: int, seqlen: int, seed: int
) -> list[list[int]]:
    """The loop of the published code for a corpus of rows (method.md, 1), on its global generator."""
    random.seed(seed)
    windows = []
    for _ in range(nsamples):
        while True:
            ids = tokenizer(rows[random.randint(0, len(rows) - 1)])["input_ids"]
            if len(ids) > seqlen:
                break
        start = random.randint(0, len(ids) - seqlen - 1)
        windows.append(ids[start : start + seqlen])
    return windows


@pytest.mark.parametrize("seed", [0, 1, 2024])
def test_the_draws_are_those_of_the_published_loop(tokenizer: PreTrainedTokenizerBase, seed: int) -> None:
    rows = [part for row in pydoc_rows("calibration")[:8] for part in row.split("\n\n")]
    expected = published_draws(tokenizer, rows, 20, 64, seed)
    assert len({len(tokenizer(row)["input_ids"]) > 64 for row in rows}) == 2  # some are drawn in vain
    assert draw_windows(tokenizer, rows, 20, 64, seed).tolist() == expected


def test_of_one_text_only_the_start_is_drawn_as_published(tokenizer: PreTrainedTokenizerBase) -> None:
    text = " ".join(pydoc_rows("calibration")[:3])
    ids = tokenizer(text)["input_ids"]
    random.seed(5)
    starts = [random.randint(0, len(ids) - 32 - 1) for _ in range(10)]
    assert draw_windows(tokenizer, [text], 10, 32, 5).tolist() == [ids[start : start + 32] for start in starts]


def test_another_seed_draws_other_windows_and_the_global_generator_is_left_alone(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    rows = pydoc_rows("calibration")[:8]
    state = random.getstate()
    drawn = [draw_windows(tokenizer, rows, 8, 32, seed) for seed in (0, 0, 1)]
    assert random.getstate() == state
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_windows_are_int64_and_a_row_of_one_token_more_is_long_enough(tokenizer: PreTrainedTokenizerBase) -> None:
    row = pydoc_rows("calibration")[0]
    ids = tokenizer(row)["input_ids"]
    drawn = draw_windows(tokenizer, [row, "short"], 2, len(ids) - 1, 0)
    assert drawn.dtype == torch.int64
    assert drawn.tolist() == [ids[:-1]] * 2
    with pytest.raises(LorapError, match=r"^book: too short, no row of 2 has more than \d+ tokens"):
        draw_windows(tokenizer, [row, "short"], 2, len(ids), 0, "book")


@pytest.mark.parametrize("rows", [[], [""], ["a", "b", "c"]])
def test_a_text_without_a_window_ends_instead_of_drawing_for_ever(
    tokenizer: PreTrainedTokenizerBase, rows: list[str]
) -> None:
    with pytest.raises(LorapError, match=f"too short, no row of {len(rows)} has more than 4 tokens"):
        draw_windows(tokenizer, rows, 3, 4, 0)


def test_cuts_do_not_overlap_and_the_remainder_is_dropped(tokenizer: PreTrainedTokenizerBase) -> None:
    text = "\n\n".join(pydoc_rows("evaluation")[:3])
    ids = tokenizer(text)["input_ids"]
    cut = cut_windows(tokenizer, text, 50, None, True)
    assert len(ids) % 50
    assert cut.shape == (len(ids) // 50, 50)
    assert cut.flatten().tolist() == ids[: cut.numel()]
    assert torch.equal(cut_windows(tokenizer, text, 50, 3, True), cut[:3])


def test_one_bos_opens_the_whole_text_and_not_every_window(with_bos: PreTrainedTokenizerBase) -> None:
    cut = cut_windows(with_bos, pydoc_rows("evaluation")[0] * 3, 20, None, True)
    assert len(cut) > 2
    assert (cut == with_bos.bos_token_id).nonzero().tolist() == [[0, 0]]


def test_unk_is_read_as_letters_or_as_one_token(tokenizer: PreTrainedTokenizerBase) -> None:
    text = "the <unk> of <unk> parts"
    as_token = cut_windows(tokenizer, text, 2, None, False).flatten().tolist()
    as_letters = cut_windows(tokenizer, text, 2, None, True).flatten().tolist()
    assert as_token.count(tokenizer.unk_token_id) == 2
    assert tokenizer.unk_token_id not in as_letters
    assert tokenizer.decode(tokenizer(text, split_special_tokens=True)["input_ids"]) == text


@pytest.mark.parametrize(("text", "windows"), [("", None), ("a b", None), ("a b c d e f g h", 9)])
def test_a_text_with_too_few_windows_is_refused(
    tokenizer: PreTrainedTokenizerBase, text: str, windows: int | None
) -> None:
    with pytest.raises(LorapError, match=f"^book: too short, .* {windows or 1} asked for$"):
        cut_windows(tokenizer, text, 8, windows, True, "book")
