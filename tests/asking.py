"""Asks a model multiple-choice questions without lm-eval: prompts by hand, likelihoods by one forward pass each."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lorap.artifacts.specs import ZeroshotSpec
from lorap.evaluation.choice import choice_documents
from lorap.evaluation.zeroshot import measure_zeroshot
from lorap.model.folder import load_model
from lorap.model.tokenizer import load_tokenizer
from lorap.settings.schema import Zeroshot

LOCAL = "data/zeroshot"  # below the folder of real data
Question = tuple[list[str], list[str], list[int], int]  # contexts, continuations, letters to divide by, right one


def spec_of(*tasks: str, documents: int | None = None, seed: int = 0, local: str | None = None) -> ZeroshotSpec:
    zeroshot = Zeroshot(tasks=list(tasks), documents=documents, local=local)
    return ZeroshotSpec(zeroshot=zeroshot, seed=seed, dtype="auto")


def measure(folder: Path, *tasks: str, data: Path | None = None, **settings: Any) -> dict[str, Any]:
    """All that a measurement of the model in a folder returns."""
    return measure_zeroshot(spec_of(*tasks, **settings), load_model(folder), load_tokenizer(folder), data, quiet=True)


def rows_of(data: Path, task: str) -> list[dict[str, Any]]:
    """The documents of a task's only local file."""
    (file,) = (data / task).glob("*.parquet")
    return pyarrow.parquet.read_table(file).to_pylist()


def pydoc_questions() -> list[Question]:
    return [_question(d["context"], d["endings"], d["answer"]) for d in choice_documents()]


def piqa_question(row: dict[str, Any]) -> Question:
    return _question(f"Question: {row['goal']}\nAnswer:", [row["sol1"], row["sol2"]], row["label"])


def arc_question(row: dict[str, Any]) -> Question:
    choices = row["choices"]
    answer = choices["label"].index(row["answerKey"])
    return _question(f"Question: {row['question']}\nAnswer:", choices["text"], answer)


def boolq_question(row: dict[str, Any]) -> Question:
    return _question(f"{row['passage']}\nQuestion: {row['question']}?\nAnswer:", ["no", "yes"], row["label"])


def winogrande_question(row: dict[str, Any]) -> Question:
    """Each option in its place before the same rest of the sentence, which is what is scored."""
    before, _, after = row["sentence"].partition("_")
    contexts = [before + row["option1"], before + row["option2"]]
    return contexts, [f" {after.strip()}"] * 2, [1, 1], int(row["answer"]) - 1


def _question(context: str, choices: Sequence[str], answer: int) -> Question:
    return [context] * len(choices), [f" {choice}" for choice in choices], [len(c) for c in choices], answer


def plain_accuracy(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, questions: Sequence[Question]
) -> tuple[float, float]:
    """How often the right continuation is the likeliest, as a whole and by letter."""
    whole = by_letter = 0
    for contexts, continuations, letters, answer in questions:
        pairs = zip(contexts, continuations, strict=True)
        likelihoods = [_likelihood(model, tokenizer, context, continuation) for context, continuation in pairs]
        normed = [value / size for value, size in zip(likelihoods, letters, strict=True)]
        whole += likelihoods.index(max(likelihoods)) == answer
        by_letter += normed.index(max(normed)) == answer
    return whole / len(questions), by_letter / len(questions)


@torch.no_grad()
def _likelihood(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, context: str, continuation: str) -> float:
    start = len(tokenizer(context)["input_ids"])
    ids = torch.tensor(tokenizer(context + continuation)["input_ids"][-model.config.max_position_embeddings - 1 :])
    scored = len(tokenizer(context + continuation)["input_ids"]) - start
    logits = model(input_ids=ids[None, :-1]).logits[0].float()
    return -torch.nn.functional.cross_entropy(logits[-scored:], ids[-scored:], reduction="sum").item()
