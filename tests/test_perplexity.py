"""Perplexity: the published protocol, against closed forms and against transformers' own loss."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from lorap.artifacts.specs import PerplexitySpec
from lorap.data.corpora import pydoc_rows
from lorap.data.windows import cut_windows
from lorap.errors import LorapError
from lorap.evaluation.perplexity import measure_perplexity, window_losses
from lorap.files import sha256_text
from lorap.settings.sources import FilesCorpus, PydocCorpus
from tests.conftest import VOCABULARY


@pytest.fixture
def model(tiny_folder: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(tiny_folder).eval()


@pytest.fixture(scope="module")
def tokenizer(tiny_folder: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(tiny_folder)


def spec(**changes: Any) -> PerplexitySpec:
    settings: dict[str, Any] = {"corpus": "any", "source": PydocCorpus(source="pydoc"), "seqlen": 32, "windows": 10}
    return PerplexitySpec(**settings | {"batch": 4, "special_tokens": "text", "dtype": "auto"} | changes)


def test_a_model_that_knows_nothing_has_the_perplexity_of_its_vocabulary(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    torch.nn.init.zeros_(model.model.norm.weight)  # logits are 0, so every token is as likely as any other
    result = measure_perplexity(spec(), model, tokenizer, None, quiet=True)
    assert result["perplexity"] == pytest.approx(VOCABULARY, rel=1e-6)


def test_a_model_that_is_sure_of_the_next_token_has_a_perplexity_of_one(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text("a" * 400)
    (only,) = set(tokenizer("a" * 64)["input_ids"][8:40])
    with torch.no_grad():
        model.model.norm.weight.zero_()
        model.lm_head = torch.nn.Linear(model.config.hidden_size, VOCABULARY)
        model.lm_head.bias.zero_()[only] = 100
    result = measure_perplexity(spec(source=None, windows=3), model, tokenizer, tmp_path / "text.txt", quiet=True)
    assert result["perplexity"] == pytest.approx(1, abs=1e-6)


def test_lm_eval_finds_the_same_on_the_same_tokens(stories: Path, tmp_path: Path) -> None:
    from lm_eval.models.huggingface import HFLM

    text, tokenizer = " ".join(pydoc_rows("evaluation")), AutoTokenizer.from_pretrained(stories)
    (tmp_path / "text.txt").write_text(text)
    model = AutoModelForCausalLM.from_pretrained(stories).eval()
    asked = spec(source=None, seqlen=128, windows=20)
    result = measure_perplexity(asked, model, tokenizer, tmp_path / "text.txt", quiet=True)
    windows = cut_windows(tokenizer, text, 128, 20, split_special_tokens=True).tolist()
    lm = HFLM(pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=4)
    requests = [(("", ""), window[:1], window[1:]) for window in windows]
    likelihood = sum(value for value, _ in lm._loglikelihood_tokens(requests, disable_tqdm=True))
    assert result["perplexity"] == pytest.approx(math.exp(-likelihood / (20 * 127)), rel=1e-4)


@pytest.mark.parametrize("seqlen", [2, 32, 2048])
def test_the_number_is_that_of_the_loss_of_transformers(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, seqlen: int
) -> None:
    text = "\n\n".join(pydoc_rows("evaluation"))
    cut = cut_windows(tokenizer, text, seqlen, 5, True)
    with torch.no_grad():
        losses = [model(input_ids=window[None], labels=window[None]).loss.item() for window in cut]
    result = measure_perplexity(spec(seqlen=seqlen, windows=5), model, tokenizer, None, quiet=True)
    assert result["perplexity"] == pytest.approx(math.exp(sum(losses) / len(losses)), rel=1e-4)
    assert result["tokens"] == 5 * (seqlen - 1)


def test_the_number_does_not_depend_on_how_many_windows_go_at_once(model: PreTrainedModel, windows: Tensor) -> None:
    alone = window_losses(model, windows, 1)
    for batch in (5, 12, 100):
        assert window_losses(model, windows, batch) == pytest.approx(alone, rel=1e-5)


def test_half_precision_logits_are_scored_in_float32(model: PreTrainedModel, windows: Tensor) -> None:
    with torch.no_grad():
        logits = model.bfloat16()(input_ids=windows).logits
    scores = logits.double().log_softmax(-1)[:, :-1].gather(-1, windows[:, 1:, None])
    assert logits.dtype == torch.bfloat16
    assert window_losses(model, windows, len(windows)) == pytest.approx((-scores.sum((1, 2))).tolist(), rel=1e-5)


def test_a_loss_that_is_not_finite_names_its_window(model: PreTrainedModel, windows: Tensor) -> None:
    ids = windows % (VOCABULARY - 1)
    ids[7, 3] = VOCABULARY - 1
    with torch.no_grad():
        model.model.embed_tokens.weight = torch.nn.Parameter(model.model.embed_tokens.weight.clone())
        model.model.embed_tokens.weight[VOCABULARY - 1] = torch.nan
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.nan_to_num())
    with pytest.raises(LorapError, match=r"^window 7: loss is nan in torch\.float32"):
        window_losses(model, ids, 3)


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    model.resize_token_embeddings(100)
    with pytest.raises(LorapError, match=r"^tokenizer: ids up to \d+, but the model's vocabulary has 100"):
        measure_perplexity(spec(), model, tokenizer, None, quiet=True)


def test_the_result_tells_its_whole_protocol(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORAP_DATA", str(tmp_path))
    rows = [" = Title = \n", "", *(f"{row} <unk> \n" for row in pydoc_rows("evaluation")[0].split("\n") if row.strip())]
    (tmp_path / "rows.raw").write_text("".join(row or "\n" for row in rows))
    source = FilesCorpus(
        source="files", local={"evaluation": "rows.raw"}, join={"evaluation": " | "}, line_ends="keep"
    )  # fmt: skip
    result = measure_perplexity(spec(source=source), model, tokenizer, None, quiet=True)
    protocol = result["protocol"]
    assert protocol.pop("sha256")
    assert protocol == {
        "corpus": "any",
        "file": "rows.raw",
        "rows": len(rows),
        "join": " | ",
        "line_ends": "keep",
        "seqlen": 32,
        "windows": 10,
        "text_sha256": sha256_text(" | ".join(rows)),
        "special_tokens": "text",
        "unk_in_text": len(rows) - 2,
        "starts_with_bos": False,
        "dtype": "float32",
    }


def test_how_unk_is_read_changes_what_is_scored(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text("the <unk> of <unk> and " * 40)
    tokens = {}
    for read in ("text", "token"):
        settings = spec(source=None, windows=None, special_tokens=read)
        result = measure_perplexity(settings, model, tokenizer, tmp_path / "text.txt", quiet=True)
        tokens[read] = result["tokens"]
        assert result["protocol"]["special_tokens"] == read
    assert tokens["text"] > 1.3 * tokens["token"]
