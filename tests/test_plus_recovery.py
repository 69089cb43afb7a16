"""lorap-plus recovers as LoRAP does: its forms are tuned, and an adapter joins them exactly or at their own rank."""

from pathlib import Path

import pytest
from torch import Tensor

from lorap.artifacts.specs import TuneSpec
from lorap.core.budget import break_even_rank
from lorap.model.factored import read_plans
from lorap.model.folder import load_model, read_config
from lorap.tuning.loading import load_tuned
from lorap.tuning.train import train
from tests.adapters import TUNE, random_adapter
from tests.compare import CPU, total_variation
from tests.rival_methods import by
from tests.test_redecompose import again


@pytest.mark.parametrize("sparsity", [0.2, 0.5])
def test_an_adapter_joins_exactly_whatever_form_a_projection_has(
    tiny_folder: Path, windows: Tensor, tmp_path: Path, sparsity: float
) -> None:
    out = tmp_path / "small"
    plan = by("lorap-plus", tiny_folder, out, windows, sparsity)
    assert any(layer.shared for layer in plan.layers)
    assert any(set(layer.value_dims()) != {plan.shapes[0].head_dim} for layer in plan.layers)
    adapter = random_adapter(out, tmp_path / "adapter")
    beside, joined = load_tuned(out, adapter), load_model(again(out, adapter, tmp_path / "joined"))
    assert total_variation(beside, joined, windows) < 1e-4
    assert total_variation(load_model(out), joined, windows) > 1e-3


def test_cut_back_to_its_own_rank_a_projection_is_dense_where_plain_factors_would_be_larger(
    tiny_folder: Path, windows: Tensor, tmp_path: Path
) -> None:
    """Pivots afford ranks that plain factors do not, and re-decomposition stores plain ones."""
    out = tmp_path / "small"
    plan = by("lorap-plus", tiny_folder, out, windows, 0.1)
    ranks = [layer.ranks["k_proj"] or 0 for layer in plan.layers if layer.pivots]
    assert max(ranks) > break_even_rank(plan.shapes[0].sizes["k_proj"])
    adapter = random_adapter(out, tmp_path / "adapter")
    cut = again(out, adapter, tmp_path / "cut", rank="k")
    plans = read_plans(read_config(cut), plan.shapes)
    assert all(layer.stored(shape) <= shape.parameters for layer, shape in zip(plans, plan.shapes, strict=True))
    assert total_variation(load_tuned(out, adapter), load_model(cut), windows) < 0.5


@pytest.mark.parametrize("form", ["factored", "dense"])
def test_pivots_and_narrow_heads_of_every_family_are_tuned_and_joined(
    family_folder: Path, windows: Tensor, tmp_path: Path, form: str
) -> None:
    """The dense form is padded where a layer's heads or channels are fewer than the stock architecture has."""
    out, adapter = tmp_path / "small", tmp_path / "adapter"
    plan = by("lorap-plus", family_folder, out, windows, 0.4)
    assert any(layer.pivots for layer in plan.layers)
    text = tmp_path / "text.txt"
    text.write_text("to be or not to be, that is the question. " * 4)
    adapter.mkdir()
    spec = TuneSpec(tune=TUNE.model_copy(update={"form": form, "max_steps": 4}), source=None, seed=7)
    train(spec, out, text, tmp_path / "checkpoints", adapter, CPU, True)
    joined = load_model(again(out, adapter, tmp_path / "joined"))
    assert total_variation(load_tuned(out, adapter), joined, windows) < 1e-4
    assert total_variation(load_model(out), joined, windows) > 1e-4
