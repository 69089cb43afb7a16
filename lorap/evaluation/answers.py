"""Likelihoods of answers by a model that stays on the disk: all requests pass through a layer before the next one."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from lorap.evaluation.streamed import Streamed
from lorap.machine.free import free_memory

Request = tuple[Any, list[int], list[int]]  # as lm-eval has it; the tokens of the context, and those of the answer
Answer = tuple[float, bool]  # log-likelihood, and whether every token is the most likely one
Sequenced = tuple[int, ...]
STEP = 16  # tokens: sequences are padded to a multiple of it, so that few lengths are left
SHARE = 0.5  # of the free memory, for activations


def likelihoods(model: Streamed, requests: Sequence[Request], longest: int, batch: int) -> list[Answer]:
    """The log-likelihood of each answer behind its context, as lm-eval computes it from a loaded model.

    Each layer is read once for all requests, or for as many as the memory has room for; logits are computed where
    answers are. Requests that differ in their last token alone pass through the layers once.

    Args:
        model: A causal language model.
        requests: No answer is empty or longer than ``longest``.
        longest: Tokens that the model reads at most; of what is longer the beginning is left out.
        batch: Sequences that go through a layer at once.
    """
    asked: dict[Sequenced, list[int]] = {}
    for number, (_, context, answer) in enumerate(requests):
        asked.setdefault(tuple((context + answer)[-longest - 1 : -1]), []).append(number)
    found: dict[int, Answer] = {}
    padded = partial(_padded, longest=longest)
    for some in _rounds(model, sorted(asked, key=len, reverse=True), padded, batch):
        groups = [list(group) for _, group in groupby(some, key=padded)]
        outputs = model.outputs([_together(group, padded(group[0])) for group in groups], batch)
        head = model.head()
        for group, hidden in zip(groups, outputs, strict=True):
            for start in range(0, len(group), batch):
                rows = zip(group[start : start + batch], hidden[start : start + batch], strict=True)
                places = [(number, row, len(tokens)) for tokens, row in rows for number in asked[tokens]]
                answers = [requests[number][2] for number, _, _ in places]
                behind = [row[end - len(a) : end] for (_, row, end), a in zip(places, answers, strict=True)]
                scores = _scores(head, torch.cat(behind).to(model.device), answers)
                found |= zip((number for number, _, _ in places), scores, strict=True)
    return [found[number] for number in range(len(requests))]


@torch.no_grad()
def _scores(head: nn.Module, hidden: Tensor, answers: Sequence[list[int]]) -> list[Answer]:
    """The summed log-probability of every answer; ``hidden`` is before the head, (tokens of all answers, hidden)."""
    found: list[Answer] = []
    parts = torch.split(torch.log_softmax(head(hidden), -1), [len(answer) for answer in answers])
    for part, answer in zip(parts, answers, strict=True):
        tokens = torch.tensor(answer, device=part.device)
        found.append((float(part.gather(1, tokens[:, None]).sum()), bool((part.argmax(-1) == tokens).all())))
    return found


def _padded(tokens: Sequenced, longest: int) -> int:
    """The length that a sequence is padded to."""
    return min(-(-len(tokens) // STEP) * STEP, longest)


def _together(sequences: Sequence[Sequenced], length: int) -> Tensor:
    """Sequences with padding behind them, which a causal model does not see before it: (sequences, length)."""
    return torch.tensor([tokens + (0,) * (length - len(tokens)) for tokens in sequences])


def _rounds(
    model: Streamed, sequences: Sequence[Sequenced], padded: Callable[[Sequenced], int], batch: int
) -> Iterator[list[Sequenced]]:
    """Sequences whose activations have room in the CPU's memory at once; at least a batch of them."""
    room = SHARE * free_memory(torch.device("cpu"))
    size = model.config.hidden_size * model.dtype.itemsize
    some: list[Sequenced] = []
    used = 0
    for tokens in sequences:
        used += padded(tokens) * size
        if used > room and len(some) >= batch:
            yield some
            some, used = [], padded(tokens) * size
        some.append(tokens)
    if some:
        yield some
