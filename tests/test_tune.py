"""Tuning: the published settings in a plain loop give the same adapter, in both forms; and how a run may end."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from lorap.artifacts.names import ADAPTER_WEIGHTS
from lorap.artifacts.specs import TuneSpec
from lorap.artifacts.unfinished import prepare_checkpoints
from lorap.data.instructions import tuning_rows
from lorap.errors import LorapError
from lorap.model.folder import load_model
from lorap.model.tokenizer import load_tokenizer
from lorap.tuning.lora import attach
from lorap.tuning.train import train
from tests.adapters import TUNE
from tests.compare import compressed

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def small(tiny_folder: Path, windows: Tensor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a compressed model, with the tokenizer."""
    return compressed(tiny_folder, tmp_path_factory.mktemp("small") / "small", windows)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six rows to train on and two held out."""
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("to be or not to be, that is the question. " * 3 + "whether it is nobler in the mind to suffer")
    return path


def spec_of(**changes: Any) -> TuneSpec:
    return TuneSpec(tune=TUNE.model_copy(update=changes), source=None, seed=7)


def tuned(spec: TuneSpec, model: Path, data: Path, out: Path, quiet: bool = True) -> Path:
    out.mkdir()
    train(spec, model, data, out.with_suffix(".checkpoints"), out, torch.device("cpu"), quiet)
    return out


def log_of(out: Path) -> list[dict[str, float]]:
    return json.loads((out / "history.json").read_text())["log"]


def plainly_tuned(spec: TuneSpec, model: Path, data: Path, steps: int) -> dict[str, Tensor]:
    """LoRA's matrices after some steps of AdamW on all rows at once, with warm-up and linear decay."""
    torch.manual_seed(spec.seed)
    adapted = attach(load_model(model), spec.tune)
    rows, _, _ = tuning_rows(spec, load_tokenizer(model), data)
    ids = torch.tensor(rows["input_ids"])
    trained = {name: parameter for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    adam = torch.optim.AdamW(trained.values(), lr=spec.tune.learning_rate, weight_decay=0.0)
    warmup = spec.tune.warmup_steps
    for step in range(steps):
        rate = step / warmup if step < warmup else (steps - step) / (steps - warmup)
        for group in adam.param_groups:
            group["lr"] = spec.tune.learning_rate * rate
        logits = adapted(input_ids=ids).logits
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(trained.values(), 1.0)
        adam.step()
    return {name.replace(".default", ""): parameter.detach() for name, parameter in trained.items()}


def test_the_adapter_is_that_of_a_plain_loop(small: Path, text: Path, tmp_path: Path) -> None:
    spec = spec_of(max_steps=6, warmup_steps=2, batch=4, micro_batch=2, held_out=2, rows=6)
    found = load_file(tuned(spec, small, text, tmp_path / "out") / ADAPTER_WEIGHTS)
    torch.testing.assert_close(found, plainly_tuned(spec, small, text, 6), rtol=1e-3, atol=1e-5)
    assert max(matrix.abs().max().item() for name, matrix in found.items() if "lora_B" in name) > 1e-3


def test_both_forms_learn_the_same(small: Path, text: Path, tmp_path: Path) -> None:
    adapters = [
        load_file(tuned(spec_of(form=f), small, text, tmp_path / f) / ADAPTER_WEIGHTS) for f in ("dense", "factored")
    ]
    torch.testing.assert_close(*adapters, rtol=1e-3, atol=1e-5)


def test_checkpointed_activations_change_nothing(small: Path, text: Path, tmp_path: Path) -> None:
    adapters = [
        load_file(tuned(spec_of(gradient_checkpointing=flag), small, text, tmp_path / str(flag)) / ADAPTER_WEIGHTS)
        for flag in (False, True)
    ]
    torch.testing.assert_close(*adapters, rtol=1e-5, atol=1e-7)


def test_the_history_has_every_step_and_the_held_out_loss_falls(small: Path, text: Path, tmp_path: Path) -> None:
    log = log_of(tuned(spec_of(max_steps=8, evaluate_every=3), small, text, tmp_path / "out"))
    assert [entry["step"] for entry in log if "loss" in entry] == list(range(1, 9))
    held_out = {entry["step"]: entry["held_out_loss"] for entry in log if "held_out_loss" in entry}
    assert list(held_out) == [0, 3, 6, 8]
    assert held_out[8] < held_out[0]


def test_shuffles_and_first_matrices_follow_the_seed(small: Path, text: Path, tmp_path: Path) -> None:
    specs = [spec_of(), spec_of(), spec_of().model_copy(update={"seed": 8})]
    first, again, other = (
        (tuned(spec, small, text, tmp_path / str(number)) / ADAPTER_WEIGHTS).read_bytes()
        for number, spec in enumerate(specs)
    )
    assert first == again != other


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_the_adapter_is_trained_in_float32_whatever_the_model_is(
    small: Path, text: Path, tmp_path: Path, dtype: str
) -> None:
    out = tuned(spec_of(dtype=dtype), small, text, tmp_path / "out")
    assert {matrix.dtype for matrix in load_file(out / ADAPTER_WEIGHTS).values()} == {torch.float32}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 1e30}, r"^step [1-3]: (eval_)?loss is (nan|inf), it diverges; lower the learning rate"),
        ({"dtype": "float16"}, "^dtype: float16 tuning needs a GPU; choose bfloat16 or float32"),
        ({"micro_batch": 3}, "^batch: 4 is no multiple of micro_batch x processes, 3; change one"),
        ({"held_out": 99}, "rows, expected at least 100"),
    ],
)
def test_what_cannot_be_tuned_is_told_in_a_line(
    small: Path, text: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(LorapError, match=message):
        tuned(spec_of(**changes), small, text, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_checkpoints_of_other_settings_are_not_gone_on_from(tmp_path: Path) -> None:
    place, spec = tmp_path / "checkpoints", spec_of()
    assert not prepare_checkpoints(place, spec, {"model": "a"})
    (place / "checkpoint-2").mkdir()
    assert not prepare_checkpoints(place, spec, {"model": "a"})
    assert (place / "checkpoint-2").exists()
    for changed in ((spec_of(rank=2), {"model": "a"}), (spec_of(rank=2), {"model": "b"})):
        (place / "checkpoint-2").mkdir(exist_ok=True)
        assert prepare_checkpoints(place, *changed)
        assert not (place / "checkpoint-2").exists()
