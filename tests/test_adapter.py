"""An adapter is read back as it was written, and refused where it is no plain LoRA of its model."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from lorap.artifacts.meta import new_artifact
from lorap.artifacts.names import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from lorap.artifacts.specs import RedecomposeSpec
from lorap.compression.dense import export_dense
from lorap.errors import LorapError
from lorap.model.folder import load_model
from lorap.tuning.adapter import read_adapter
from lorap.tuning.loading import load_tuned
from lorap.tuning.lora import load_adapter
from tests.adapters import random_adapter
from tests.compare import BOUND, compressed, total_variation


@pytest.fixture(scope="module")
def small(tiny_folder: Path, windows: Tensor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a compressed model."""
    return compressed(tiny_folder, tmp_path_factory.mktemp("small") / "small", windows)


@pytest.fixture
def adapter(small: Path, tmp_path: Path) -> Path:
    return random_adapter(small, tmp_path / "adapter")


def test_stock_peft_reads_the_adapter_onto_the_exported_model(
    small: Path, adapter: Path, windows: Tensor, tmp_path: Path
) -> None:
    (tmp_path / "dense").mkdir()
    export_dense(small, tmp_path / "dense")
    dense = AutoModelForCausalLM.from_pretrained(tmp_path / "dense")
    with pytest.warns(FutureWarning, match="is_gradient_checkpointing"):  # peft asks by the old name
        stock = PeftModel.from_pretrained(dense, adapter).eval()
    assert total_variation(stock, load_tuned(small, adapter), windows) < BOUND / 10


def test_the_same_matrices_make_the_same_bytes(small: Path, tmp_path: Path) -> None:
    first, second = (random_adapter(small, tmp_path / name) for name in "ab")
    assert [(first / name).read_bytes() for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS)] == [
        (second / name).read_bytes() for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS)
    ]
    assert {file.name for file in first.iterdir()} == {ADAPTER_CONFIG, ADAPTER_WEIGHTS}


def edit(**changes: Any) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        (folder / ADAPTER_CONFIG).write_text(json.dumps(json.loads((folder / ADAPTER_CONFIG).read_text()) | changes))

    return apply


def thin(folder: Path) -> None:
    tensors = load_file(folder / ADAPTER_WEIGHTS)
    tensors.popitem()
    save_file(tensors, folder / ADAPTER_WEIGHTS)


def wide(folder: Path) -> None:
    tensors = load_file(folder / ADAPTER_WEIGHTS)
    save_file({name: torch.cat([tensor, tensor]) for name, tensor in tensors.items()}, folder / ADAPTER_WEIGHTS)


def endless(folder: Path) -> None:
    tensors = load_file(folder / ADAPTER_WEIGHTS)
    save_file({name: tensor * torch.inf for name, tensor in tensors.items()}, folder / ADAPTER_WEIGHTS)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            edit(target_modules=["q_proj", "lm_head"]),
            r"target_modules \['q_proj', 'lm_head'\], expected names from q_p",
        ),
        (edit(target_modules="all-linear"), r"target_modules 'all-linear', expected names from q_proj"),
        (edit(target_modules=["q_proj"]), r"is no part of the model"),
        (edit(peft_type="IA3"), r"peft_type is 'IA3', expected 'LORA'"),
        (edit(use_dora=True), r"use_dora is True, expected plain LoRA"),
        (edit(use_rslora=True), r"use_rslora is True"),
        (edit(rank_pattern={"q_proj": 2}), r"rank_pattern is {'q_proj': 2}"),
        (edit(modules_to_save=["lm_head"]), r"modules_to_save is \['lm_head'\]"),
        (edit(auto_mapping={"parent_library": "os", "base_model_class": "system"}), r"auto_mapping is"),
        (edit(megatron_config={"x": 1}), r"megatron_config is {'x': 1}, expected plain LoRA"),
        (edit(of_another_version=[1]), r"of_another_version is \[1\], expected plain LoRA"),
        (edit(init_lora_weights="pissa"), r"init_lora_weights is 'pissa', expected plain LoRA, where it is True"),
        (edit(target_modules=[["q_proj"]]), r"target_modules \[\['q_proj'\]\], expected names from q_proj"),
        (edit(lora_alpha=float("nan")), r"lora_alpha nan, expected a finite number"),
        (edit(lora_alpha=True), r"lora_alpha True, expected a finite number"),
        (edit(r=10**12), r"r 1000000000000, expected a rank of at least 1 and at most 65536"),
        (edit(r=0), r"r 0, expected a rank of at least 1"),
        (edit(r=5), r"is \(.*\), but config.json makes it"),
        (thin, r"no tensor base_model\S+ in its safetensors"),
        (wide, r"is \(.*\), but config.json makes it"),
        (endless, r"values that are not finite"),
        (lambda folder: (folder / ADAPTER_WEIGHTS).unlink(), r"no adapter there, expected adapter_config.json and"),
        (lambda folder: (folder / ADAPTER_WEIGHTS).write_bytes(b"no"), r"damaged or truncated safetensors"),
        (lambda folder: (folder / ADAPTER_CONFIG).write_text("{"), r"not valid JSON"),
        (lambda folder: (folder / ADAPTER_CONFIG).write_text("[]"), r"no adapter there"),
    ],
)
def test_what_is_no_plain_lora_of_the_model_is_refused(
    small: Path, adapter: Path, damage: Callable[[Path], Any], message: str
) -> None:
    damage(adapter)
    with pytest.raises(LorapError, match=message) as raised:
        load_adapter(load_model(small), adapter)
    assert len(str(raised.value).splitlines()) == 1
    assert str(raised.value).startswith(str(adapter))


def test_a_key_that_is_not_set_is_no_fault_whatever_its_name(small: Path, adapter: Path) -> None:
    edit(of_another_version=None, gaussian_noise=False)(adapter)
    load_adapter(load_model(small), adapter)


def test_an_adapter_of_another_base_is_refused(small: Path, tiny_folder: Path, adapter: Path, tmp_path: Path) -> None:
    spec = RedecomposeSpec(rank="k", batch=1)
    with new_artifact(tmp_path / "recorded", spec, {"model": small}, folder=True) as folder:
        shutil.copytree(adapter, folder, dirs_exist_ok=True)
    read_adapter(tmp_path / "recorded", load_model(small))
    with pytest.raises(LorapError, match=r"recorded: was tuned on another model than .*hashes differ.*lorap tune"):
        load_tuned(tiny_folder, tmp_path / "recorded")


def test_an_adapter_of_other_widths_is_refused(stories: Path, adapter: Path) -> None:
    with pytest.raises(LorapError, match=f"^{adapter}"):
        load_tuned(stories, adapter)
