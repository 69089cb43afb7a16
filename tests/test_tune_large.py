"""Tuning before it starts: what it says of memory, what it refuses; and a model that is spread over devices."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import dispatch_model
from safetensors.torch import load_file

from lorap.artifacts.names import ADAPTER_WEIGHTS
from lorap.errors import LorapError
from lorap.machine import fit
from lorap.machine import spread as spreading
from lorap.tuning import start, train
from tests.command import refused
from tests.test_spread import PARTS
from tests.test_tune import small, spec_of, text, tuned

pytestmark = pytest.mark.thorough
__all__ = ["small", "text"]


@pytest.mark.parametrize("form", ["factored", "dense"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_model_that_is_spread_learns_the_same(
    small: Path, text: Path, tmp_path: Path, form: str, checkpointing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All devices are the CPU, but the hooks of accelerate are there, which hand on activations and gradients."""
    spec = spec_of(form=form, gradient_checkpointing=checkpointing)
    expected = load_file(tuned(spec, small, text, tmp_path / "one") / ADAPTER_WEIGHTS)
    settled: list[torch.nn.Module] = []

    def dispatch(model: torch.nn.Module, *arguments: Any, **options: Any) -> None:
        dispatch_model(model, *arguments, **options, force_hooks=True)
        settled.extend(module for module in model.modules() if hasattr(module, "_hf_hook"))

    monkeypatch.setattr(spreading, "dispatch_model", dispatch)
    monkeypatch.setattr(train, "require_place", lambda *_, **__: dict.fromkeys(PARTS, "cpu"))
    found = load_file(tuned(spec, small, text, tmp_path / "two") / ADAPTER_WEIGHTS)
    assert len(settled) > len(PARTS)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


def test_what_has_no_room_is_refused_before_anything_is_made(
    small: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "free_memory", lambda device: 10_000)
    monkeypatch.setattr(fit, "GIB", 1000)
    told = r"larger than the free memory of cpu, 10\.0 GiB, and this needs it whole, at least \d+\.\d GiB; free some"
    with pytest.raises(LorapError, match=told):
        tuned(spec_of(), small, text, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
    assert not (tmp_path / "out.checkpoints").exists()


def test_a_run_says_rows_steps_and_memory_first(
    small: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = r"^lorap: tunes on \d+ rows in 3 steps of 4, on cpu: takes up to \d+\.\d GiB there, \d+\.\d GiB are free"
    tuned(spec_of(), small, text, tmp_path / "a", quiet=False)
    assert re.search(line + "$", capsys.readouterr().err, re.MULTILINE)
    monkeypatch.setattr(start, "free_memory", lambda device: 10_000)
    tuned(spec_of(), small, text, tmp_path / "b", quiet=False)
    assert re.search(line + "; where it runs out, lower --micro-batch", capsys.readouterr().err, re.MULTILINE)


def test_a_learning_rate_that_only_rises_is_reported(
    small: Path, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for steps, told in ((2, False), (3, True)):
        tuned(spec_of(warmup_steps=steps), small, text, tmp_path / str(steps), quiet=False)
        assert ("never gets out of its warm-up, lower --warmup-steps" in capsys.readouterr().err) == told


def test_a_command_that_has_no_room_leaves_nothing_behind(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "free_memory", lambda device: 10_000)
    line = refused("tune", "--model", "model", "--data", "book.txt", "--out", "a", "--device", "cpu")
    assert "larger than the free memory of cpu" in line
