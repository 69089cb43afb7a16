"""Rivals on every family, end to end: stored, loaded with lorap and without, exported, tuned and joined."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lorap.artifacts.specs import RedecomposeSpec, TuneSpec
from lorap.compression.dense import export_dense
from lorap.errors import LorapError
from lorap.model.factored import read_plans
from lorap.model.folder import load_model
from lorap.tuning.loading import load_tuned
from lorap.tuning.rejoin import redecompose
from lorap.tuning.train import train
from tests.adapters import TUNE, random_adapter
from tests.compare import CPU, distributions, total_variation
from tests.conftest import FAMILIES, save_random_model
from tests.rival_methods import RIVALS, by
from tests.test_portable import PROMPT, as_a_stranger

pytestmark = pytest.mark.slow

BOTH_BIASES = ("llama",)  # model types whose stock classes have a place for biases of o and down


@pytest.mark.parametrize("name", RIVALS)
def test_what_is_stored_is_what_the_plan_says_and_exports_or_says_why_not(
    family_folder: Path, windows: Tensor, tmp_path: Path, name: str
) -> None:
    plan = by(name, family_folder, tmp_path / "out", windows, 0.5)
    small = load_model(tmp_path / "out")
    assert read_plans(small.config, plan.shapes) == plan.layers
    stored = sum(p.numel() for key, p in small.named_parameters() if "_proj" in key and not key.endswith("bias"))
    added = sum(shape.sizes[bias][0] for layer, shape in zip(plan.layers, plan.shapes, strict=True)
                for bias in layer.biases)  # fmt: skip
    assert stored + added == plan.linear_parameters
    assert torch.isfinite(distributions(small, windows)).all()
    (tmp_path / "dense").mkdir()
    family = small.config.base_config().model_type
    if any(layer.biases for layer in plan.layers) and family not in BOTH_BIASES:
        why = rf"^(o|down)_proj has gained a bias, for which a stock {family} has no place; keep the factored form"
        with pytest.raises(LorapError, match=why):
            export_dense(tmp_path / "out", tmp_path / "dense")
        return
    export_dense(tmp_path / "out", tmp_path / "dense")
    dense = load_model(tmp_path / "dense")
    assert dense.config.model_type == family
    assert total_variation(small, dense, windows) < 1e-4


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path, windows: Tensor) -> dict[str, Path]:
    """Every family by one rival of each form; FLAP takes whole sub-layers away."""
    root, made = tmp_path_factory.mktemp("rivals"), {}
    for family, config in FAMILIES.items():
        dense = save_random_model(config(), root / family, tokenizer_folder)
        for name in ("flap", "llm-pruner", "svd-llm", "wanda-sp+refit", "olica"):
            made[f"{family}-{name}"] = root / f"{family}-{name}"
            by(name, dense, made[f"{family}-{name}"], windows, 0.8 if name == "flap" else 0.5)
    return made


@pytest.mark.system
def test_without_lorap_they_compute_and_generate_the_same(folders: dict[str, Path], tmp_path: Path) -> None:
    report = as_a_stranger(folders.values(), tmp_path)
    assert not report["lorap"]
    for folder, seen in zip(folders.values(), report["models"], strict=True):
        with torch.no_grad():
            logits = load_model(folder)(torch.tensor(PROMPT)).logits[0, -1]
        torch.testing.assert_close(torch.tensor(seen["logits"]), logits, rtol=0, atol=1e-4)
        assert seen["tokens"] == seen["tokens_uncached"]
        assert seen["cache_error"] < 1e-4


def joined(model: Path, adapter: Path, out: Path) -> Any:
    out.mkdir()
    redecompose(RedecomposeSpec(rank="k+r", batch=5), model, adapter, None, out, CPU, quiet=True)
    return load_model(out)


@pytest.mark.parametrize("name", RIVALS)
def test_an_adapter_joins_exactly(family_folder: Path, windows: Tensor, tmp_path: Path, name: str) -> None:
    by(name, family_folder, tmp_path / "out", windows, 0.5)
    adapter = random_adapter(tmp_path / "out", tmp_path / "adapter")
    whole = joined(tmp_path / "out", adapter, tmp_path / "joined")
    assert total_variation(load_tuned(tmp_path / "out", adapter), whole, windows) < 1e-4
    assert total_variation(load_model(tmp_path / "out"), whole, windows) > 1e-3


@pytest.mark.parametrize("form", ["factored", "dense"])
@pytest.mark.parametrize(
    ("name", "sparsity"), [("flap", 0.8), *((name, 0.5) for name in ("llm-pruner", "svd-llm", "olica", "flap+refit"))]
)
def test_they_are_tuned_and_joined_on_every_family(
    family_folder: Path, windows: Tensor, tmp_path: Path, name: str, sparsity: float, form: str
) -> None:
    plan = by(name, family_folder, tmp_path / "out", windows, sparsity)
    assert name != "flap" or 0 in [layer.kv_heads for layer in plan.layers], "layers without attention are tuned too"
    text = tmp_path / "text.txt"
    text.write_text("to be or not to be, that is the question. " * 4)
    (tmp_path / "adapter").mkdir()
    spec = TuneSpec(tune=TUNE.model_copy(update={"form": form, "max_steps": 4}), source=None, seed=7)
    train(spec, tmp_path / "out", text, tmp_path / "checkpoints", tmp_path / "adapter", CPU, True)
    whole = joined(tmp_path / "out", tmp_path / "adapter", tmp_path / "joined")
    assert total_variation(load_tuned(tmp_path / "out", tmp_path / "adapter"), whole, windows) < 1e-4
    assert total_variation(load_model(tmp_path / "out"), whole, windows) > 1e-4
