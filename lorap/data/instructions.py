"""Rows for tuning: instructions in the Alpaca form with the loss on the response, or windows of plain text."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from transformers import PreTrainedTokenizerBase

from lorap.artifacts.specs import TuneSpec
from lorap.data.corpora import is_table, load_rows, read_table, read_text, split_file
from lorap.data.tokens import encode
from lorap.errors import LorapError
from lorap.settings.sources import FilesCorpus, InstructionsCorpus, PydocCorpus

if TYPE_CHECKING:
    import datasets

IGNORED = -100  # a label that the loss leaves out
FIELDS = ("instruction", "input", "output")
WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n"
)
WITHOUT_INPUT = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Response:\n"
)
Example = dict[str, list[int]]  # input_ids and labels, of one length


def tuning_rows(
    spec: TuneSpec, tokenizer: PreTrainedTokenizerBase, data: Path | None
) -> tuple["datasets.Dataset", "datasets.Dataset", int]:
    """Tokenised rows to train on and held-out ones, drawn with the split's seed (method.md, 9).

    Args:
        spec: The settings; without a source ``data`` is read.
        tokenizer: Of the model to be tuned.
        data: A file of instructions (.jsonl, .json or .parquet) or of plain text.

    Returns:
        Both sets, and how many rows were left out because no response fits into the cutoff.

    Raises:
        LorapError: The data cannot be read, lack a field, or are too few.
    """
    import datasets

    settings = spec.tune
    name, examples = _examples(spec, tokenizer, data)
    kept = [example for example in examples if any(label != IGNORED for label in example["labels"])]
    if not kept:
        raise LorapError(f"{name}: no row has a response within {settings.cutoff} tokens; raise the cutoff")
    wanted = len(kept) if settings.rows is None else settings.rows
    held_out = max(1, round(settings.held_out * wanted)) if settings.held_out < 1 else int(settings.held_out)
    if not held_out < wanted <= len(kept):
        raise LorapError(
            f"{name}: {len(kept)} rows, expected at least {max(wanted, held_out + 1)} "
            f"({held_out} of them held out); lower rows or held_out"
        )
    split = datasets.Dataset.from_list(kept).train_test_split(
        test_size=held_out, train_size=wanted - held_out, shuffle=True, seed=settings.split_seed
    )
    return split["train"], split["test"], len(examples) - len(kept)


def _examples(spec: TuneSpec, tokenizer: PreTrainedTokenizerBase, data: Path | None) -> tuple[str, list[Example]]:
    """The name of the data for messages, and all of its rows as tokens."""
    source, cutoff = spec.source, spec.tune.cutoff
    file = split_file(source, "tuning") if isinstance(source, InstructionsCorpus) else data
    if isinstance(source, FilesCorpus | PydocCorpus):
        text = "\n\n".join(load_rows(source, "tuning"))
        return spec.tune.corpus, text_examples(tokenizer, text, cutoff)
    if file is None:
        raise LorapError("tune: no data, give --data NAME or --data FILE")
    if isinstance(source, InstructionsCorpus) or is_table(file):
        return str(file), [instruction_example(tokenizer, row, cutoff) for row in read_instructions(file)]
    return str(file), text_examples(tokenizer, read_text(file), cutoff)


def read_instructions(path: Path) -> Sequence[Mapping[str, str]]:
    """Rows with an instruction, an output, and perhaps an input.

    Raises:
        LorapError: A row lacks one of them; the message has its number, counted from 1.
    """
    table = read_table(path)
    for name in ("instruction", "output"):
        if name not in table.column_names:
            raise LorapError(f"{path}: row 1 has no {name!r}, expected {', '.join(FIELDS)} in every row")
    rows = [{name: row.get(name) for name in FIELDS} for row in table]
    for number, row in enumerate(rows, start=1):
        for name in FIELDS:
            if not isinstance(row[name], str) and not (name == "input" and row[name] is None):
                raise LorapError(f"{path}: row {number} has no text in {name!r}, expected {', '.join(FIELDS)}")
    return [{name: row[name] or "" for name in FIELDS} for row in rows]


def instruction_example(tokenizer: PreTrainedTokenizerBase, row: Mapping[str, str], cutoff: int) -> Example:
    """An instruction and its response as tokens: the prompt has no loss, EOS ends the response where it fits."""
    prompt = (WITH_INPUT if row["input"].strip() else WITHOUT_INPUT).format(**row)
    ids = encode(tokenizer, prompt + row["output"], truncation=True, max_length=cutoff)
    if len(ids) < cutoff and ids[-1] != tokenizer.eos_token_id and tokenizer.eos_token_id is not None:
        ids = [*ids, tokenizer.eos_token_id]
    asked = min(len(encode(tokenizer, prompt, truncation=True, max_length=cutoff)), len(ids))
    return {"input_ids": ids, "labels": [IGNORED] * asked + ids[asked:]}


def text_examples(tokenizer: PreTrainedTokenizerBase, text: str, cutoff: int) -> list[Example]:
    """Plain text as rows of ``cutoff`` tokens without overlap; every token has a loss but a row's first."""
    ids = encode(tokenizer, text, verbose=False)
    starts = range(0, len(ids) - cutoff + 1, cutoff)
    return [{"input_ids": ids[s : s + cutoff], "labels": ids[s : s + cutoff]} for s in starts]
