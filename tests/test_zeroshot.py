"""Zero-shot accuracy against plain likelihoods and against lm-eval's own command line."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lorap.evaluation.choice import choice_documents
from lorap.evaluation.tasks import TASKS, write_tasks
from lorap.evaluation.zeroshot import draw_rows, measure_zeroshot
from lorap.model.folder import load_model
from lorap.model.tokenizer import load_tokenizer
from tests.asking import (
    LOCAL,
    Question,
    arc_question,
    boolq_question,
    measure,
    piqa_question,
    plain_accuracy,
    pydoc_questions,
    rows_of,
    spec_of,
    winogrande_question,
)

pytestmark = pytest.mark.thorough

PLAIN: dict[str, Callable[[dict[str, Any]], Question]] = {
    "piqa": piqa_question,
    "arc_easy": arc_question,
    "boolq": boolq_question,
    "winogrande": winogrande_question,
}


def test_accuracies_of_the_own_task_are_those_of_plain_likelihoods(family_folder: Path) -> None:
    """Fails where lm-eval handles a family's model or tokenizer otherwise, or serves another model's results."""
    numbers = measure(family_folder, "pydoc")["tasks"]["pydoc"]
    plain = plain_accuracy(load_model(family_folder), load_tokenizer(family_folder), pydoc_questions())
    assert (numbers["acc"], numbers["acc_norm"]) == plain
    assert numbers["documents"] == len(choice_documents())


def test_every_answer_is_kept_beside_their_mean(tiny_folder: Path) -> None:
    """Fails where answers stand in another order than the documents, so that two models cannot be compared by them."""
    found = measure(tiny_folder, "pydoc")
    answers = found["answers"]["pydoc"]
    for metric, kept in answers.items():
        assert len(kept) == found["tasks"]["pydoc"]["documents"]
        assert kept.count("1") / len(kept) == found["tasks"]["pydoc"][metric]
    assert answers.keys() == {"acc", "acc_norm"}
    alone = measure(tiny_folder, "pydoc", documents=7, seed=1)["answers"]["pydoc"]["acc"]
    assert alone == "".join(answers["acc"][row] for row in draw_rows("pydoc", len(answers["acc"]), 7, 1))


@pytest.mark.parametrize("task", PLAIN)
def test_accuracies_of_a_built_in_task_are_those_of_plain_likelihoods(
    task: str, stories: Path, lorap_data: Path
) -> None:
    """Fails where a prompt is not the published one, or other documents are asked than those drawn."""
    found = measure(stories, task, data=lorap_data / LOCAL, documents=30, seed=5)
    rows = rows_of(lorap_data / LOCAL, task)
    questions = [PLAIN[task](rows[row]) for row in draw_rows(task, len(rows), 30, 5)]
    acc, acc_norm = plain_accuracy(load_model(stories), load_tokenizer(stories), questions)
    numbers = found["tasks"][task]
    assert numbers["acc"] == acc
    assert numbers.get("acc_norm", acc_norm) == acc_norm
    assert ("acc_norm" in numbers) == (task in ("piqa", "arc_easy"))
    assert found["protocol"]["tasks"][task]["rows"] == len(rows)


@pytest.mark.system
def test_numbers_are_exactly_those_of_the_command_line_of_lm_eval(
    stories: Path, lorap_data: Path, tmp_path: Path
) -> None:
    """Fails where wrapping the model in memory changes what lm-eval makes of it."""
    names = ["pydoc", "hellaswag", "openbookqa"]
    found = measure(stories, *names, data=lorap_data / LOCAL, documents=25, seed=3)
    write_tasks(names, lorap_data / LOCAL, tmp_path)
    totals = {name: entry["rows"] for name, entry in found["protocol"]["tasks"].items()}
    samples = {name: draw_rows(name, total, 25, 3) for name, total in totals.items()}
    options = {
        "--model_args": f"pretrained={stories},dtype=float32",
        "--include_path": str(tmp_path),
        "--samples": json.dumps(samples),
        "--output_path": str(tmp_path / "out.json"),
    }
    flat = [word for option in options.items() for word in option]
    subprocess.run(
        [sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--device", "cpu", *flat, "--tasks", *names],
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        check=True,
        capture_output=True,
    )
    (file,) = tmp_path.glob("out*.json")
    results = json.loads(file.read_text())["results"]
    for name in names:
        metrics = {key.removesuffix(",none"): value for key, value in results[name].items() if key.endswith(",none")}
        assert found["tasks"][name] == metrics | {"documents": 25}


@pytest.mark.system
def test_all_seven_tasks_read_their_local_files(stories: Path, lorap_data: Path) -> None:
    """Fails where the file of a built-in task has moved, its columns are listed wrongly or its protocol is thin."""
    found = measure(stories, *TASKS, data=lorap_data / LOCAL, documents=3)
    assert list(found["tasks"]) == list(TASKS)
    for name, task in TASKS.items():
        entry = found["protocol"]["tasks"][name]
        assert found["tasks"][name]["documents"] == 3
        assert entry["file"] == f"{name}/{task.split}.parquet"
        assert len({entry["sha256"], entry["drawn_sha256"], entry["prompts_sha256"]}) == 3
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    expected = {"documents": 3, "seed": 0, "num_fewshot": 0, "dtype": "float32", "max_length": 512}
    assert found["protocol"].items() >= expected.items()


@pytest.mark.system
def test_a_model_that_changed_gets_its_own_numbers(tiny_folder: Path) -> None:
    """Fails where results of the same object, or of the same requests, are served again."""
    model, tokenizer = load_model(tiny_folder), load_tokenizer(tiny_folder)
    plain = []
    for _ in range(2):
        found = measure_zeroshot(spec_of("pydoc"), model, tokenizer, None, quiet=True)["tasks"]["pydoc"]
        plain.append(plain_accuracy(model, tokenizer, pydoc_questions()))
        assert (found["acc"], found["acc_norm"]) == plain[-1]
        with torch.no_grad():
            model.model.embed_tokens.weight.mul_(-1).roll(7, dims=0)
            model.model.norm.weight.mul_(-1.5)
    assert plain[0] != plain[1]


def test_a_measurement_leaves_everything_as_it_was(tiny_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Fails where lm-eval's seeds, logs, bars or its hand on model and tokenizer reach the caller."""
    model, tokenizer = load_model(tiny_folder), load_tokenizer(tiny_folder)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    states = random.getstate(), np.random.get_state(legacy=False), torch.get_rng_state()
    measure_zeroshot(spec_of("pydoc", documents=4), model, tokenizer, None, quiet=True)
    assert capfd.readouterr() == ("", "")
    assert random.getstate() == states[0]
    np.testing.assert_equal(np.random.get_state(legacy=False), states[1])
    assert torch.equal(torch.get_rng_state(), states[2])
    assert tokenizer.pad_token is None
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_progress_is_shown_on_stderr_alone(tiny_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Fails where a bar or a print of lm-eval ends up in the JSON on stdout."""
    model, tokenizer = load_model(tiny_folder), load_tokenizer(tiny_folder)
    measure_zeroshot(spec_of("pydoc", documents=4), model, tokenizer, None, quiet=False)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "Running loglikelihood requests" in shown.err


@pytest.mark.system
@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft asks transformers by an old name
def test_a_model_with_an_adapter_is_measured_with_it(tiny_folder: Path) -> None:
    """Fails where lm-eval unwraps an adapter or cannot handle one."""
    from peft import LoraConfig, get_peft_model

    tokenizer = load_tokenizer(tiny_folder)
    torch.manual_seed(0)
    model = get_peft_model(load_model(tiny_folder), LoraConfig(target_modules=["down_proj"], init_lora_weights=False))
    found = measure_zeroshot(spec_of("pydoc"), model, tokenizer, None, quiet=True)["tasks"]["pydoc"]
    plain = plain_accuracy(model, tokenizer, pydoc_questions())
    assert (found["acc"], found["acc_norm"]) == plain
    assert plain != plain_accuracy(load_model(tiny_folder), tokenizer, pydoc_questions())
