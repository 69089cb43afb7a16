"""Perplexity of a model that stays on the disk: the numbers of the loaded one, and the choice between the two."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lorap.artifacts.meta import artifact_id
from lorap.evaluation.perplexity import window_losses
from lorap.evaluation.streamed import Streamed
from lorap.machine import fit, free
from lorap.model.folder import load_model
from lorap.tuning.loading import load_tuned
from tests.adapters import random_adapter
from tests.command import succeed
from tests.conftest import FAMILIES
from tests.plans import planned_folder
from tests.pretended import pretended
from tests.test_pretended import CPU, CUDA


def streamed(folder: Path, device: torch.device = CPU, dtype: torch.dtype | None = None) -> Streamed:
    return Streamed(folder, dtype, device, quiet=True)


def test_a_streamed_model_answers_like_the_loaded_one(family_folder: Path, windows: Tensor) -> None:
    expected = window_losses(load_model(family_folder), windows, 5)
    assert window_losses(streamed(family_folder), windows, 5) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_so_does_one_of_any_plan(family: str, windows: Tensor, tmp_path: Path) -> None:
    folder, _ = planned_folder(FAMILIES[family](), tmp_path, seed=2)
    expected = window_losses(load_model(folder, torch.bfloat16), windows, 5)
    found = window_losses(streamed(folder, dtype=torch.bfloat16), windows, 5)
    assert found == pytest.approx(expected, rel=1e-4)


def test_a_head_in_the_file_counts_even_if_the_configuration_ties_it(
    tiny_folder: Path, windows: Tensor, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "model"))
    tensors = load_file(folder / "model.safetensors")
    assert "lm_head.weight" not in tensors
    tensors["lm_head.weight"] = -tensors["model.embed_tokens.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    expected = window_losses(load_model(folder), windows, 5)
    assert expected != window_losses(load_model(tiny_folder), windows, 5)
    assert window_losses(streamed(folder), windows, 5) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("family", "form"), [("llama-gqa", "factored"), ("qwen3", "dense")])
def test_an_adapter_stands_beside_every_layer_as_it_does_in_the_loaded_model(
    family: str, form: str, windows: Tensor, tmp_path: Path
) -> None:
    folder, _ = planned_folder(FAMILIES[family](), tmp_path / "model", seed=2)
    adapter = random_adapter(folder, tmp_path / "adapter")
    record = {"inputs": {"model": artifact_id(folder)}, "spec": {"tune": {"form": form}}}
    (adapter / "meta.json").write_text(json.dumps(record))
    alone = window_losses(streamed(folder), windows, 5)
    for device, dtype in ((CPU, torch.bfloat16), (CUDA, torch.float32)):
        with pretended():
            found = window_losses(Streamed(folder, dtype, device, True, adapter), windows, 5)
        assert found == pytest.approx(window_losses(load_tuned(folder, adapter, dtype), windows, 5), rel=1e-5)
        assert found != pytest.approx(alone, rel=1e-2)


def test_on_a_gpu_only_a_layer_and_a_batch_are_there_at_once(tiny_folder: Path, windows: Tensor) -> None:
    expected = window_losses(streamed(tiny_folder), windows, 2)
    with pretended() as cuda:
        assert window_losses(streamed(tiny_folder, CUDA), windows, 2) == pytest.approx(expected, rel=1e-5)
    with pretended() as whole:
        window_losses(load_model(tiny_folder, device=CUDA), windows, 2)
    assert cuda.peak < 0.8 * whole.peak


def test_what_does_not_fit_is_streamed_and_says_the_same(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    random_adapter(work / "model", work / "adapter")
    command = ("evaluate", "perplexity", "--model", "model", "--adapter", "adapter", "--text", "book.txt", "--windows",
               4, "--json", "--out")  # fmt: skip
    loaded = json.loads(succeed(*command, "a.json"))
    monkeypatch.setattr(fit, "free_memory", lambda device: 10_000)
    found = json.loads(succeed(*command, "b.json"))
    assert found["protocol"] == loaded["protocol"]
    assert found["perplexity"] == pytest.approx(loaded["perplexity"], rel=1e-6)


def test_free_memory_knows_the_limits_of_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "own").write_text("0::/a/b\n")
    for folder, most in (("a", "5000"), ("a/b", "max")):
        (tmp_path / folder / "memory.max").write_text(f"{most}\n")
        (tmp_path / folder / "memory.current").write_text("1000\n")
    assert free.free_memory(CPU) > 100_000
    monkeypatch.setattr(free, "GROUPS", tmp_path)
    monkeypatch.setattr(free, "OWN_GROUP", tmp_path / "own")
    assert free.free_memory(CPU) == 4000
    (tmp_path / "a/memory.stat").write_text("anon 200\nfile 800\ninactive_file 500\nactive_file 200\n")
    assert free.free_memory(CPU) == 4700, "what is only kept of files is free"
