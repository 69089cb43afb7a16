"""Perplexity by the published protocol: windows without overlap from one text (method.md, evaluation)."""

import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lorap.artifacts.specs import PerplexitySpec
from lorap.data.corpora import corpus_file, load_rows, read_text
from lorap.data.windows import cut_windows
from lorap.errors import LorapError
from lorap.evaluation.streamed import Streamed
from lorap.files import sha256_text
from lorap.settings.sources import FilesCorpus

JOIN = "\n\n"
LARGEST_LOSS = math.log(sys.float_info.max)  # in nats; a random guess is at the logarithm of the vocabulary


def measure_perplexity(
    spec: PerplexitySpec,
    model: PreTrainedModel | Streamed,
    tokenizer: PreTrainedTokenizerBase,
    text: Path | None,
    quiet: bool,
) -> dict[str, Any]:
    """Perplexity of a model on a corpus or a text file, with the protocol that it was measured by.

    Raises:
        LorapError: The text cannot be read or is too short, or a loss is not finite.
    """
    content, protocol = _read(spec, text)
    as_letters = spec.special_tokens == "text"
    windows = cut_windows(tokenizer, content, spec.seqlen, spec.windows, as_letters, spec.corpus)
    if int(windows.max()) >= model.config.vocab_size:
        raise LorapError(
            f"tokenizer: ids up to {int(windows.max())}, but the model's vocabulary has {model.config.vocab_size}; "
            "the model folder holds another model's tokenizer"
        )
    protocol |= {
        "seqlen": spec.seqlen,
        "windows": len(windows),
        "text_sha256": sha256_text(content),
        "special_tokens": spec.special_tokens,
        "unk_in_text": content.count("<unk>"),
        "starts_with_bos": int(windows[0, 0]) == tokenizer.bos_token_id,
        "dtype": str(model.dtype).removeprefix("torch."),
    }
    tokens = windows.shape[0] * (windows.shape[1] - 1)
    loss = sum(window_losses(model, windows, spec.batch, quiet)) / tokens
    if loss > LARGEST_LOSS:
        raise LorapError(f"{spec.corpus}: {loss:.3g} nats a token, too many for a perplexity; are the weights damaged?")
    return {"perplexity": math.exp(loss), "tokens": tokens, "protocol": protocol}


@torch.no_grad()
def window_losses(model: PreTrainedModel | Streamed, windows: Tensor, batch: int, quiet: bool = True) -> list[float]:
    """The summed loss of every window in nats, computed in float32 from the model's logits.

    Args:
        model: A causal language model, in memory or streamed.
        windows: (windows, tokens), int64; each scores tokens - 1 positions.
        batch: Windows a forward pass.
        quiet: No progress bar.

    Raises:
        LorapError: A loss is not finite; the message names the window.
    """
    losses: list[float] = []
    batches = [windows[start : start + batch] for start in range(0, len(windows), batch)]
    answers = model.logits(windows, batch) if isinstance(model, Streamed) else _logits(model, batches)
    pairs = zip(batches, answers, strict=True)
    for ids, logits in tqdm(pairs, total=len(batches), desc="perplexity", unit="batch", disable=quiet):
        for row, window in zip(logits, ids.to(logits.device), strict=True):
            loss = torch.nn.functional.cross_entropy(row[:-1].float(), window[1:], reduction="sum").item()
            if not math.isfinite(loss):
                raise LorapError(f"window {len(losses)}: loss is {loss} in {model.dtype}; try --dtype float32")
            losses.append(loss)
    return losses


def _logits(model: PreTrainedModel, batches: Sequence[Tensor]) -> Iterator[Tensor]:
    return (model(input_ids=ids.to(model.device), use_cache=False).logits for ids in batches)


def _read(spec: PerplexitySpec, text: Path | None) -> tuple[str, dict[str, Any]]:
    """The text to be scored as one string, and the protocol of how it was made."""
    if spec.source is None:
        if text is None:
            raise LorapError("perplexity: no text, give --text FILE or --corpus NAME")
        return read_text(text), {"corpus": spec.corpus, "file": text.name}
    rows = load_rows(spec.source, "evaluation")
    join = spec.source.join.get("evaluation", JOIN) if isinstance(spec.source, FilesCorpus) else JOIN
    line_ends = spec.source.line_ends if isinstance(spec.source, FilesCorpus) else "keep"
    protocol = {"corpus": spec.corpus, **corpus_file(spec.source, "evaluation"), "rows": len(rows), "join": join}
    return join.join(rows), protocol | {"line_ends": line_ends}
