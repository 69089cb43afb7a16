"""What must hold of a rival whatever it removes: nothing lost where nothing moves, nothing changed at full size."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import LlamaConfig

from lorap.model.folder import load_model
from lorap.model.modeling_lorap import Absent
from lorap.settings.method import Method
from tests.compare import distributions, total_variation
from tests.conftest import SMALL, save_random_model
from tests.rival_methods import METHODS, RIVALS, by

STILL_HEADS, STILL_CHANNELS = (1,), range(0, 96, 2)  # in each layer of a model of two key-value heads, 96 channels


def flap_of(variant: str, counts: str = "wifv", **share: Any) -> Method:
    part = {"name": "flap", "variant": variant, "counts": counts}
    return Method.model_validate({"attention": part, "ffn": part, "repair": "mean-bias", "share": share})


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> Path:
    """A model in which half the units of every layer hold the same for every token: their biases."""
    config = LlamaConfig(**SMALL, num_key_value_heads=2, attention_bias=True, mlp_bias=True)
    folder = save_random_model(config, tmp_path_factory.mktemp("still"), tokenizer_folder)
    tensors = load_file(folder / "model.safetensors")
    for index in range(3):
        for head in STILL_HEADS:
            tensors[f"model.layers.{index}.self_attn.v_proj.weight"][head * 16 : (head + 1) * 16] = 0
        for name in ("gate_proj", "up_proj"):
            tensors[f"model.layers.{index}.mlp.{name}.weight"][list(STILL_CHANNELS)] = 0
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("counts", ["ifv", "wifv"])
@pytest.mark.parametrize("variant", ["as_written", "as_published"])
@pytest.mark.parametrize(("share", "sparsity"), [("uniform", 0.5), ("global-threshold", 0.1)])
def test_flap_loses_nothing_of_units_that_do_not_fluctuate(
    still: Path, windows: Tensor, tmp_path: Path, share: str, sparsity: float, variant: str, counts: str
) -> None:
    method = flap_of(variant, counts, name=share)
    plan = by(method, still, tmp_path / "out", windows, sparsity)
    assert any(layer.kv_heads < 2 or layer.channels < 96 for layer in plan.layers)
    unseen = torch.randint(3, 300, (4, 40), generator=torch.Generator().manual_seed(2))
    assert total_variation(load_model(still), load_model(tmp_path / "out"), unseen) < 1e-4
    without = method.overridden({"repair": "none"})
    by(without, still, tmp_path / "without", windows, sparsity)
    assert total_variation(load_model(still), load_model(tmp_path / "without"), unseen) > 1e-2


@pytest.fixture(scope="module")
def even(still: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, but that the other half of layer 1's channels are all alike: none is far above the others."""
    folder = shutil.copytree(still, tmp_path_factory.mktemp("even") / "model")
    tensors = load_file(folder / "model.safetensors")
    for name in ("gate_proj", "up_proj"):
        for kind in ("weight", "bias"):
            rows = tensors[f"model.layers.1.mlp.{name}.{kind}"]
            rows[1::2] = rows[1].clone()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("variant", ["as_written", "as_published"])
def test_a_layer_may_lose_all_heads_or_all_channels_to_flap(
    even: Path, windows: Tensor, tmp_path: Path, variant: str
) -> None:
    method = flap_of(variant, "ifv", name="global-threshold", costs=variant)
    plan = by(method, even, tmp_path / "out", windows, 0.97)
    assert 0 in [layer.kv_heads for layer in plan.layers]
    assert plan.layers[1].channels == 0
    small = load_model(tmp_path / "out")
    gone = [(isinstance(layer.self_attn, Absent), isinstance(layer.mlp, Absent)) for layer in small.model.layers]
    assert gone == [(layer.kv_heads == 0, layer.channels == 0) for layer in plan.layers]
    assert torch.isfinite(distributions(small, windows)).all()
    settings: dict[str, Any] = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    cached, again = (small.generate(windows[:1], use_cache=cache, **settings) for cache in (True, False))
    assert torch.equal(cached, again)
    small.save_pretrained(tmp_path / "again")
    assert torch.equal(distributions(load_model(tmp_path / "again"), windows), distributions(small, windows))


@pytest.mark.parametrize("name", RIVALS)
def test_at_full_size_nothing_changes(tiny_folder: Path, windows: Tensor, tmp_path: Path, name: str) -> None:
    plan = by(name, tiny_folder, tmp_path / "out", windows, 0)
    dense, small = (load_file(folder / "model.safetensors") for folder in (tiny_folder, tmp_path / "out"))
    assert plan.removed <= 0
    assert all(torch.equal(small.pop(key), tensor) for key, tensor in dense.items())
    assert not any(tensor.any() for tensor in small.values())  # biases that a repair has added
    said = [distributions(load_model(folder), windows) for folder in (tiny_folder, tmp_path / "out")]
    assert torch.equal(*said)


def test_rivals_are_all_there() -> None:
    assert {METHODS[name].attention.name for name in RIVALS} == {
        "magnitude-sp", "wanda-sp", "flap", "llm-pruner", "svd-llm", "olica", "awsvd",
    }  # fmt: skip
