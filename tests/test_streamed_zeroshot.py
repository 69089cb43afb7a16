"""Zero-shot likelihoods of a model that stays on the disk: those of the loaded one, in memory for a layer."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from lorap.evaluation import answers
from lorap.evaluation.harness import wrap
from lorap.evaluation.streamed import Streamed
from lorap.evaluation.zeroshot import measure_zeroshot
from lorap.machine import fit
from lorap.model.folder import load_model
from lorap.model.tokenizer import load_tokenizer
from tests.adapters import random_adapter
from tests.asking import spec_of
from tests.command import succeed
from tests.conftest import FAMILIES, VOCABULARY
from tests.plans import planned_folder
from tests.pretended import pretended
from tests.test_pretended import CPU, CUDA

Answers = list[tuple[float, bool]]


def requests() -> list[Any]:
    """Contexts and answers of many lengths: shared contexts, answers of one token, and some longer than the model."""
    draw = random.Random(3)

    def tokens(count: int) -> list[int]:
        return [draw.randrange(3, VOCABULARY) for _ in range(count)]

    asked = [(tokens(draw.randint(1, 60)), tokens(draw.randint(1, 20))) for _ in range(20)]
    asked += [(context, tokens(1)) for context, _ in asked[:6] for _ in range(3)]
    asked += [(tokens(250), tokens(30)), (tokens(256), tokens(1)), (tokens(3), tokens(255))]
    return [(None, *request) for request in asked]


def streamed(folder: Path, device: torch.device = CPU) -> Streamed:
    return Streamed(folder, None, device, quiet=True)


def likelihoods(model: Any, tokenizer: Any) -> Answers:
    return wrap(model, tokenizer)._loglikelihood_tokens(requests(), disable_tqdm=True)


def require_same(found: Answers, expected: Answers) -> None:
    assert [value for value, _ in found] == pytest.approx([value for value, _ in expected], rel=1e-5, abs=1e-4)
    assert [best for _, best in found] == [best for _, best in expected]


def test_likelihoods_of_a_streamed_model_are_those_of_the_loaded_one(family_folder: Path) -> None:
    tokenizer = load_tokenizer(family_folder)
    require_same(likelihoods(streamed(family_folder), tokenizer), likelihoods(load_model(family_folder), tokenizer))


@pytest.mark.parametrize("family", FAMILIES)
def test_so_are_those_of_any_plan(family: str, tokenizer_folder: Path, tmp_path: Path) -> None:
    folder, _ = planned_folder(FAMILIES[family](), tmp_path, seed=2)
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder, trust_remote_code=False)
    require_same(likelihoods(streamed(folder), tokenizer), likelihoods(load_model(folder), tokenizer))


def test_where_activations_have_no_room_at_once_requests_go_in_rounds(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer = streamed(tiny_folder), load_tokenizer(tiny_folder)
    rounds: list[int] = []
    outputs = Streamed.outputs

    def counted(self: Streamed, groups: Any, batch: int) -> Any:
        rounds.append(sum(map(len, groups)))
        return outputs(self, groups, batch)

    monkeypatch.setattr(Streamed, "outputs", counted)
    expected = likelihoods(model, tokenizer)
    monkeypatch.setattr(answers, "free_memory", lambda device: 200_000)
    require_same(likelihoods(model, tokenizer), expected)
    assert len(rounds) > 2, "one, and then several"
    assert sum(rounds[1:]) == rounds[0] < len(requests()), "what differs in its last token alone goes once"


def test_on_a_gpu_only_a_layer_and_a_batch_are_there_at_once(tiny_folder: Path) -> None:
    tokenizer = load_tokenizer(tiny_folder)
    expected = likelihoods(streamed(tiny_folder), tokenizer)
    with pretended() as cuda:
        require_same(likelihoods(streamed(tiny_folder, CUDA), tokenizer), expected)
    with pretended() as whole:
        likelihoods(load_model(tiny_folder, device=CUDA), tokenizer)
    assert cuda.peak < 0.8 * whole.peak


def test_a_task_has_the_numbers_and_the_protocol_of_the_loaded_model(tiny_folder: Path) -> None:
    """Fails, too, where the tasks of lm-eval are mixed up when they are asked together."""
    tokenizer = load_tokenizer(tiny_folder)
    found, expected = (
        measure_zeroshot(spec_of("pydoc", documents=20), model, tokenizer, None, quiet=True)
        for model in (streamed(tiny_folder), load_model(tiny_folder))
    )
    assert found == expected


def test_the_command_streams_what_does_not_fit(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random_adapter(work / "model", work / "adapter")
    command = ("evaluate", "zeroshot", "--model", "model", "--adapter", "adapter", "--tasks", "pydoc", "--documents", 8,
               "--json", "--quiet")  # fmt: skip
    loaded = json.loads(succeed(*command, "--out", "a.json"))
    monkeypatch.setattr(fit, "free_memory", lambda device: 10_000)
    assert json.loads(succeed(*command, "--out", "b.json")) == loaded
