"""A re-decomposed model says what the tuned one says, costs what it should, and a cut to rank k is the best one."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig

from lorap.artifacts.specs import RedecomposeSpec
from lorap.compression.planning import plan_model
from lorap.core.factorise import truncate
from lorap.model.counting import count_parameters
from lorap.model.family import projection
from lorap.model.folder import load_model, read_config, skeleton
from lorap.model.layer_plan import PROJECTIONS
from lorap.model.modeling_lorap import LowRankLinear
from lorap.tuning.adapter import Adapter, read_adapter
from lorap.tuning.loading import load_tuned
from lorap.tuning.rejoin import plans_again, redecompose
from tests.adapters import TUNE, random_adapter
from tests.compare import BOUND, CPU, compressed, method_of, total_variation

pytestmark = pytest.mark.thorough

LLAMA_7B = LlamaConfig(hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32,
                       vocab_size=32000, tie_word_embeddings=False)  # fmt: skip


def again(model: Path, adapter: Path, out: Path, rank: Any = "k+r", windows: Tensor | None = None) -> Path:
    out.mkdir()
    redecompose(RedecomposeSpec(rank=rank, batch=4), model, adapter, windows, out, CPU, quiet=True)
    return out


def merged_weights(model: Path, adapter: Path) -> dict[tuple[int, str], Tensor]:
    """W + s B A of every projection, multiplied out."""
    base, lora = load_model(model), read_adapter(adapter, load_model(model))
    weights = {}
    for (index, name), (up, down) in lora.pairs.items():
        module = projection(base.model.layers[index], name)
        dense = module.weight if isinstance(module, torch.nn.Linear) else torch.matmul(*module.factors())
        weights[index, name] = (dense + lora.scaling * up @ down).detach()
    return weights


@pytest.mark.parametrize("ffn", ["prune", "decompose"])
def test_at_k_plus_r_nothing_is_lost(family_folder: Path, windows: Tensor, tmp_path: Path, ffn: str) -> None:
    small = compressed(family_folder, tmp_path / "small", windows, ffn=ffn)
    adapter = random_adapter(small, tmp_path / "adapter")
    exact = load_model(again(small, adapter, tmp_path / "exact"))
    assert total_variation(load_tuned(small, adapter), exact, windows) < BOUND / 10
    assert total_variation(load_model(small), exact, windows) > 0.05, "the adapter should matter"


def test_the_published_svd_at_k_plus_r_finds_the_same(tiny_folder: Path, windows: Tensor, tmp_path: Path) -> None:
    small = compressed(tiny_folder, tmp_path / "small", windows)
    adapter = random_adapter(small, tmp_path / "adapter")
    exact = load_model(again(small, adapter, tmp_path / "exact"))
    by_svd = load_model(tmp_path / "exact")
    with torch.no_grad():
        for (index, name), weight in merged_weights(small, adapter).items():
            module = projection(by_svd.model.layers[index], name)
            if isinstance(module, LowRankLinear):
                u, s, vt = torch.linalg.svd(weight)
                module.left.weight.copy_(u[:, : module.rank] * s[: module.rank])
                module.right.weight.copy_(vt[: module.rank])
    assert total_variation(exact, by_svd, windows) < BOUND / 10


def test_back_at_rank_k_the_model_is_as_small_as_before_and_each_weight_the_best_there_is(
    tiny_folder: Path, windows: Tensor, tmp_path: Path
) -> None:
    small = compressed(tiny_folder, tmp_path / "small", windows)
    adapter = random_adapter(small, tmp_path / "adapter")
    cut = load_model(again(small, adapter, tmp_path / "cut", "k"))
    assert count_parameters(cut) == count_parameters(load_model(small))
    for (index, name), weight in merged_weights(small, adapter).items():
        module = projection(cut.model.layers[index], name)
        if isinstance(module, LowRankLinear):
            found = torch.linalg.matrix_norm(weight - module.left.weight @ module.right.weight)
            optimum = torch.linalg.svdvals(weight)[module.rank :].norm()
            assert found.item() == pytest.approx(optimum.item(), rel=1e-4)


@pytest.mark.parametrize("rank", [1, 3, 7, 12])
def test_a_truncation_is_the_optimum_of_its_norm(rank: int) -> None:
    generator = torch.Generator().manual_seed(rank)
    left, right = torch.randn(20, 12, generator=generator), torch.randn(12, 30, generator=generator)
    scale = torch.rand(30, generator=generator) * 10 + 0.1
    up, down = truncate(left, right, rank, scale)
    found = torch.linalg.matrix_norm((left @ right - up @ down) * scale)
    optimum = torch.linalg.svdvals(left.double() @ right.double() * scale)[rank:].norm()
    assert found.item() == pytest.approx(optimum.item(), rel=1e-5, abs=1e-3)


def test_with_calibration_a_cut_is_weighed_by_the_tuned_models_activations(
    tiny_folder: Path, windows: Tensor, tmp_path: Path
) -> None:
    small = compressed(tiny_folder, tmp_path / "small", windows)
    adapter = random_adapter(small, tmp_path / "adapter")
    cut = projection(load_model(again(small, adapter, tmp_path / "cut", "k", windows)).model.layers[0], "o_proj")
    inputs: list[Tensor] = []
    tuned = load_model(again(small, adapter, tmp_path / "exact"))
    projection(tuned.model.layers[0], "o_proj").register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    tuned(input_ids=windows)
    scale = inputs[0].flatten(0, 1).norm(dim=0)
    weight = merged_weights(small, adapter)[0, "o_proj"]
    assert isinstance(cut, LowRankLinear)
    found = torch.linalg.matrix_norm((weight - cut.left.weight @ cut.right.weight) * scale)
    optimum = torch.linalg.svdvals(weight * scale)[cut.rank :].norm()
    assert found.item() == pytest.approx(optimum.item(), rel=1e-4)


def test_a_number_cuts_every_projection_to_it(tiny_folder: Path, windows: Tensor, tmp_path: Path) -> None:
    small = compressed(tiny_folder, tmp_path / "small", windows)
    adapter = random_adapter(small, tmp_path / "adapter")
    again(small, adapter, tmp_path / "cut", 3)
    layers = read_config(tmp_path / "cut").lorap["layers"]
    assert {rank for layer in layers for rank in layer["ranks"].values()} == {3, None}


def test_the_adapter_of_a_dense_model_is_merged(tiny_folder: Path, windows: Tensor, tmp_path: Path) -> None:
    adapter = random_adapter(tiny_folder, tmp_path / "adapter")
    merged = load_model(again(tiny_folder, adapter, tmp_path / "merged"))
    assert merged.config.model_type == "llama"
    assert total_variation(load_tuned(tiny_folder, adapter), merged, windows) < BOUND / 10


@pytest.mark.parametrize(("sparsity", "parameters"), [(0.2, 5_447_225_344), (0.5, 3_508_801_536)])
def test_a_tuned_llama_7b_costs_what_the_paper_says(sparsity: float, parameters: int) -> None:
    config = plan_model(LLAMA_7B, method_of(), sparsity).compressed.config
    places = [(index, name) for index in range(32) for name in PROJECTIONS]
    adapter = Adapter(8, 2.0, dict.fromkeys(places, (torch.empty(0), torch.empty(0))))
    _, tuned = plans_again(config, skeleton(config), adapter, "k+r")
    assert count_parameters(skeleton(tuned)) == parameters


def test_rank_of_the_adapter_is_that_of_its_settings(tiny_folder: Path, tmp_path: Path) -> None:
    adapter = read_adapter(random_adapter(tiny_folder, tmp_path / "adapter"), load_model(tiny_folder))
    assert (adapter.rank, adapter.scaling) == (TUNE.rank, TUNE.alpha / TUNE.rank)
