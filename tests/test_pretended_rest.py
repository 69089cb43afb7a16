"""Redecomposition, spectra and measurements on a device that is only a name."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lorap.artifacts.specs import RedecomposeSpec, ZeroshotSpec
from lorap.evaluation.cost import measure_cost
from lorap.evaluation.perplexity import window_losses
from lorap.evaluation.spectra import measure_spectra
from lorap.evaluation.zeroshot import measure_zeroshot
from lorap.model.tokenizer import load_tokenizer
from lorap.settings.schema import Cost, Zeroshot
from lorap.tuning.loading import load_tuned
from lorap.tuning.rejoin import redecompose
from tests.adapters import random_adapter
from tests.pretended import pretended
from tests.test_pretended import CUDA, both, small, weights

pytestmark = pytest.mark.thorough


@pytest.fixture
def tuned(tiny_folder: Path, windows: Tensor, tmp_path: Path) -> tuple[Path, Path]:
    """A compressed model and its adapter."""
    model = small(tiny_folder, tmp_path / "small", windows)
    return model, random_adapter(model, tmp_path / "adapter")


@pytest.mark.parametrize(("rank", "calibrated"), [("k+r", False), ("k", False), ("k", True), (3, True)])
def test_redecomposition(
    tuned: tuple[Path, Path], windows: Tensor, tmp_path: Path, rank: Any, calibrated: bool
) -> None:
    def work(device: torch.device) -> bytes:
        out = tmp_path / f"again-{device.type}"
        out.mkdir()
        redecompose(RedecomposeSpec(rank=rank, batch=5), *tuned, windows if calibrated else None, out, device, True)
        return weights(out)

    expected, found, _ = both(work)
    assert found == expected


def test_spectra(family_folder: Path, windows: Tensor) -> None:
    expected, found, _ = both(lambda device: measure_spectra(family_folder, windows, device, 5, quiet=True))
    assert found == expected


@pytest.mark.parametrize("kept_as", ["alone", "adapter"])
def test_measurements(tuned: tuple[Path, Path], windows: Tensor, kept_as: str) -> None:
    model, adapter = tuned[0], tuned[1] if kept_as == "adapter" else None
    cost = Cost(tokens=8, prompt=8, new_tokens=3, batches=[1, 3], warmup=1, repeats=3)
    zeroshot = ZeroshotSpec(zeroshot=Zeroshot(tasks=["pydoc"], documents=12), seed=0, dtype="auto")

    def work(device: torch.device) -> Any:
        loaded = load_tuned(model, adapter, device=device)
        answers = measure_zeroshot(zeroshot, loaded, load_tokenizer(model), None, quiet=True)["tasks"]
        return window_losses(loaded, windows, 5), answers

    expected, found, _ = both(work)
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    assert found[1] == expected[1]
    with pretended() as cuda:
        measured = measure_cost(cost, load_tuned(model, adapter, device=CUDA))
    assert cuda.synchronised == 3 * len(cost.batches) * (cost.warmup + cost.repeats), "every reading of the clock"
    assert not cuda.waits, "nothing within what is timed"
    assert measured["protocol"]["memory_of"] == "CUDA allocator"
