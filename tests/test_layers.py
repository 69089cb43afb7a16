"""The layer loop: batches change nothing, needless work is not asked for, and faults are named by layer."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lorap.compression.loop import LayerLoop
from lorap.compression.planning import plan_model
from lorap.errors import LorapError
from lorap.model.folder import load_model, read_config, skeleton
from lorap.model.layer_plan import READERS
from tests.compare import CPU, compressed, distributions, method_of
from tests.conftest import FAMILIES, VOCABULARY, save_random_model


def asked(folder: Path, attention: str, ffn: str, sparsity: float = 0.5) -> dict[str, str]:
    """The kind of statistic that a method wants of each input of a layer, in the order of the forward pass."""
    method = method_of(attention=attention, ffn=ffn)
    plan = plan_model(read_config(folder), method, sparsity)
    pairs = zip(plan.layers, plan.shapes, strict=True)
    wants = [want for layer, shape in pairs for worker in method.workers for want in worker.wanted(shape, layer)]
    kinds = {want.input: want.kind for want in wants if (want.stream, want.behind) == ("compressed", "nothing")}
    return {name: kinds[name] for name in READERS if name in kinds}


@pytest.mark.parametrize("attention", ["svd", "awsvd", "afm"])
def test_the_number_of_windows_a_pass_changes_nothing(
    family_folder: Path, windows: Tensor, tmp_path: Path, attention: str
) -> None:
    def said(batch: int) -> Tensor:
        out = compressed(family_folder, tmp_path / str(batch), windows, attention=attention, batch=batch)
        return distributions(load_model(out), windows)

    one = said(1)
    torch.testing.assert_close(said(5), one, rtol=0, atol=1e-4)
    torch.testing.assert_close(said(len(windows)), one, rtol=0, atol=1e-4)


def test_svd_alone_needs_nothing_of_the_calibration(tiny_folder: Path, windows: Tensor, tmp_path: Path) -> None:
    for ffn in ("none", "decompose"):
        assert asked(tiny_folder, "svd", ffn) == {}
    one, other = (
        load_file(compressed(tiny_folder, tmp_path / str(n), ids, attention="svd", ffn="none") / "model.safetensors")
        for n, ids in enumerate((windows, windows.flip(0, 1)))
    )
    torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_the_error_of_a_plain_svd_is_a_plain_one_for_which_nothing_is_measured(tiny_folder: Path) -> None:
    assert asked(tiny_folder, "svd", "prune") == dict.fromkeys(("ffn_in", "ffn_hidden"), "squares")


def test_only_afm_needs_a_whole_second_moment(tiny_folder: Path) -> None:
    for attention in ("svd", "awsvd", "none"):
        for ffn in ("prune", "decompose", "none"):
            assert "moment" not in asked(tiny_folder, attention, ffn).values()
    pruned = asked(tiny_folder, "afm", "prune")
    assert pruned == dict.fromkeys(("attention_in", "attention_out"), "moment") | dict.fromkeys(
        ("ffn_in", "ffn_hidden"), "squares"
    )


def test_an_output_projection_that_stays_dense_is_not_watched(tiny_folder: Path) -> None:
    assert list(asked(tiny_folder, "awsvd", "prune", sparsity=0.2)) == ["attention_in", "ffn_in", "ffn_hidden"]
    assert list(asked(tiny_folder, "awsvd", "prune", sparsity=0.5)) == list(READERS)


def test_an_untouched_sub_layer_is_not_watched(tiny_folder: Path) -> None:
    assert list(asked(tiny_folder, "awsvd", "none")) == ["attention_in", "attention_out"]
    assert list(asked(tiny_folder, "none", "prune")) == ["ffn_in", "ffn_hidden"]
    assert asked(tiny_folder, "awsvd", "prune", sparsity=0) == {}


@pytest.mark.parametrize("wrong", [VOCABULARY, -1])
def test_ids_outside_the_vocabulary_are_refused(tiny_folder: Path, windows: Tensor, tmp_path: Path, wrong: int) -> None:
    ids = windows.clone()
    ids[7, 3] = wrong
    with pytest.raises(LorapError, match=f"vocabulary has {VOCABULARY}"):
        compressed(tiny_folder, tmp_path / "out", ids)


@pytest.fixture
def overflowing(tokenizer_folder: Path, tmp_path: Path) -> Path:
    """A model whose second layer leaves the range of float16, though all its weights are inside it."""
    folder = save_random_model(FAMILIES["llama-gqa"](), tmp_path / "model", tokenizer_folder)
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.weight"] *= 60000 / tensors["model.layers.1.mlp.up_proj.weight"].abs().max()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_activations_that_are_not_finite_are_named_by_layer(overflowing: Path, windows: Tensor, tmp_path: Path) -> None:
    with pytest.raises(LorapError, match=r"layer 1: ffn_hidden .*float16; try float32"):
        compressed(overflowing, tmp_path / "half", windows, dtype="float16")
    compressed(overflowing, tmp_path / "full", windows, dtype="float32")


def test_a_pass_of_the_loop_is_the_pass_of_the_model(family_folder: Path, windows: Tensor) -> None:
    """Masks, rotary tables and sliding windows come from the model, so a longer window must not matter."""
    loop = LayerLoop(skeleton(read_config(family_folder)), family_folder, windows, torch.float32, CPU, batch=5)
    expected = load_model(family_folder).model(windows, output_hidden_states=True, use_cache=False).hidden_states
    for index, layer in loop:
        torch.testing.assert_close(loop.streams["compressed"], expected[index], rtol=0, atol=1e-4)
        loop.advance(index, layer)
