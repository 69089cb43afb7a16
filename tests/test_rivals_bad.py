"""What rivals refuse, and what they warn of: gradients, calibrations and forms that do not serve."""

from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from torch import Tensor

import lorap
from lorap.errors import LorapError
from tests.conftest import FAMILIES, save_random_model
from tests.rival_methods import METHODS, by


@pytest.fixture
def overflowing(tokenizer_folder: Path, tmp_path: Path) -> Path:
    """A model whose last layer leaves the range of float16, though all its weights are inside it."""
    return overflowing_in(2, tmp_path / "model", tokenizer_folder)


def overflowing_in(layer: int, folder: Path, tokenizer_folder: Path) -> Path:
    save_random_model(FAMILIES["llama-gqa"](), folder, tokenizer_folder)
    tensors, name = load_file(folder / "model.safetensors"), f"model.layers.{layer}.mlp.up_proj.weight"
    tensors[name] *= 60000 / tensors[name].abs().max()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("name", ["llm-pruner", "llm-pruner-vector"])
def test_gradients_that_are_not_finite_are_named_by_layer(
    overflowing: Path, windows: Tensor, tmp_path: Path, name: str
) -> None:
    with pytest.raises(LorapError) as refused:
        by(name, overflowing, tmp_path / "half", windows, 0.5, dtype="float16")
    assert str(refused.value) == ("layer 2: gradients of the loss are not finite in torch.float16; try float32")
    assert not any((tmp_path / "half").iterdir())
    by(name, overflowing, tmp_path / "full", windows, 0.5, dtype="float32")


def test_a_layer_that_overflows_before_the_last_is_named_and_not_the_one_whose_gradients_come_first(
    tokenizer_folder: Path, windows: Tensor, tmp_path: Path
) -> None:
    folder = overflowing_in(0, tmp_path / "model", tokenizer_folder)
    with pytest.raises(LorapError, match=r"^layer 0: output holds values that are not finite in torch.float16; try"):
        by("llm-pruner", folder, tmp_path / "half", windows, 0.5, dtype="float16")


@pytest.mark.parametrize("name", ["wanda-sp", "flap", "flap-as-written", "svd-llm"])
def test_activations_that_are_not_finite_are_named_by_layer(
    overflowing: Path, windows: Tensor, tmp_path: Path, name: str
) -> None:
    with pytest.raises(
        LorapError, match=r"^layer 2: ffn_hidden holds values that are not finite in torch.float16; try"
    ):
        by(name, overflowing, tmp_path / "half", windows, 0.5, dtype="float16")


def test_fluctuations_alone_that_are_not_finite_are_named_too(
    overflowing: Path, windows: Tensor, tmp_path: Path
) -> None:
    with pytest.raises(
        LorapError, match=r"^layer 2: ffn_hidden holds values that are not finite in torch.float16; try"
    ):
        by(
            METHODS["flap"].overridden({"repair": "none"}),
            overflowing,
            tmp_path / "half",
            windows,
            0.5,
            dtype="float16",
        )


@pytest.mark.parametrize(("name", "count"), [("svd-llm", 3), ("svd-llm-update", 1)])
def test_too_few_tokens_for_svd_llm_are_told_for_each_moment_and_do_no_harm(
    work: Path, capsys: pytest.CaptureFixture[str], name: str, count: int
) -> None:
    few = lorap.calibrate("model", "few.safetensors", text="book.txt", nsamples=count, seqlen=8)
    lorap.compress("model", few, "small", method=name, sparsity=0.5, quiet=True)
    lines = capsys.readouterr().err.splitlines()
    floored = [line.partition(": not positive")[0] for line in lines if "positive definite" in line]
    assert floored == [f"lorap: warning: layer {index}" for index in range(3) if name == "svd-llm-update"]
    told = [line.partition(" features: ")[0] for line in lines if "positive definite" not in line]
    assert told == [
        f"lorap: warning: {8 * count} calibration tokens for the second moment of {name}, which has {width}"
        for name, width in (("attention_in", 64), ("attention_out", 64), ("ffn_hidden", 96), ("ffn_in", 64))
    ]
    tensors = load_file("small/model.safetensors")
    assert all(tensor.isfinite().all() for tensor in tensors.values())


def test_methods_without_a_whole_moment_are_content_with_few_tokens(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = lorap.calibrate("model", "few.safetensors", text="book.txt", nsamples=3, seqlen=8)
    for name in ("magnitude-sp", "wanda-sp", "flap"):
        lorap.compress("model", few, name, method=name, sparsity=0.5, quiet=True)
    assert capsys.readouterr().err == ""
    lorap.compress("model", few, "pruned", method="llm-pruner", sparsity=0.5, quiet=True)
    (told,) = capsys.readouterr().err.splitlines()
    assert told == "lorap: warning: gradients of 3 calibration windows, 10 are wanted; calibrate on more windows"


def test_a_plan_by_the_scores_of_units_asks_for_windows(work: Path) -> None:
    with pytest.raises(
        LorapError, match=r"^share global-threshold: has to know the model's layers, give --calibration"
    ):
        lorap.plan("model", method="flap", sparsity=0.5)
