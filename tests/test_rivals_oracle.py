"""Rivals against their plain forms: the same units go, and the same model comes out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel, Qwen2Config

from lorap.model.folder import load_model
from lorap.settings.method import Method
from tests.compare import BOUND, total_variation
from tests.conftest import FAMILIES, SMALL, save_random_model
from tests.rival_factors import olica, slimllm_ffn, svd_llm
from tests.rival_gradients import llm_pruner, llm_pruner_counts
from tests.rival_methods import METHODS, by
from tests.rival_parts import Cut, fitting_counts, groups_of, published_counts
from tests.rivals import flap, flap_refit, magnitude_sp, wanda_sp, wanda_sp_refit

pytestmark = pytest.mark.thorough

SPARSITIES = pytest.mark.parametrize("sparsity", [0.2, 0.5])
LAYERS = range(3)
GROUPED = SMALL | {"num_attention_heads": 8}
MODELS: dict[str, Callable[[], PreTrainedConfig]] = {
    "multi-head": FAMILIES["llama-mha"],
    "grouped-query": lambda: Qwen2Config(**GROUPED, num_key_value_heads=4, tie_word_embeddings=True),
}


@pytest.fixture(scope="module", params=list(MODELS))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> Path:
    """A multi-head model, and a grouped-query one with biases."""
    return save_random_model(MODELS[request.param](), tmp_path_factory.mktemp(request.param), tokenizer_folder)


def dense(folder: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(folder, dtype="float32").eval()


def ours(folder: Path, out: Path, windows: Tensor, method: Method, sparsity: float) -> PreTrainedModel:
    by(method, folder, out, windows, sparsity)
    return load_model(out)


def cuts_of(small: PreTrainedModel, whole: PreTrainedModel) -> list[Cut]:
    """What a compressed model lacks, told by the rows of k and gate that it has not got."""
    cuts = []
    for layer, before in zip(small.model.layers, whole.model.layers, strict=True):
        attention, mlp = before.self_attn, before.mlp
        heads = attention.k_proj.weight.view(groups_of(before), -1)
        has = layer.self_attn.k_proj.weight.view(-1, heads.shape[1]) if hasattr(layer.self_attn, "k_proj") else ()
        rows = layer.mlp.gate_proj.weight if hasattr(layer.mlp, "gate_proj") else ()
        cuts.append(Cut(_lacking(heads, has), _lacking(mlp.gate_proj.weight, rows)))
    return cuts


def _lacking(units: Tensor, there: Any) -> set[int]:
    return {number for number, unit in enumerate(units) if not any(torch.equal(unit, row) for row in there)}


def require_the_same(small: PreTrainedModel, plain: PreTrainedModel, cuts: list[Cut], whole: PreTrainedModel) -> None:
    assert cuts_of(small, whole) == cuts
    assert any(cut.channels for cut in cuts)
    require_the_function(small, plain)


def require_the_function(small: PreTrainedModel, plain: PreTrainedModel) -> None:
    unseen = torch.randint(3, 300, (4, 40), generator=torch.Generator().manual_seed(2))
    assert total_variation(small, plain, unseen) < BOUND


@SPARSITIES
@pytest.mark.parametrize("name", ["magnitude-sp", "magnitude-sp-published", "wanda-sp", "wanda-sp-published"])
def test_columns_by_their_size(folder: Path, windows: Tensor, tmp_path: Path, name: str, sparsity: float) -> None:
    whole, plain = dense(folder), dense(folder)
    fitting = fitting_counts(plain, LAYERS, sparsity)

    def counts(layer: torch.nn.Module) -> tuple[int, int]:
        return published_counts(layer, sparsity) if name.endswith("published") else fitting

    cuts = magnitude_sp(plain, counts) if name.startswith("magnitude") else wanda_sp(plain, windows, counts)
    small = ours(folder, tmp_path / "out", windows, METHODS[name], sparsity)
    require_the_same(small, plain, cuts, whole)


@SPARSITIES
@pytest.mark.parametrize("ridge", [0, 1])
def test_a_refit_behind_a_selector(
    folder: Path, windows: Tensor, tmp_path: Path, ridge: float, sparsity: float
) -> None:
    whole, plain = dense(folder), dense(folder)
    counts = fitting_counts(plain, LAYERS, sparsity)
    cuts = wanda_sp_refit(plain, windows, lambda layer: counts, ridge)
    method = METHODS["wanda-sp+refit"].overridden({"ridge": ridge})
    require_the_same(ours(folder, tmp_path / "out", windows, method, sparsity), plain, cuts, whole)


@SPARSITIES
def test_a_refit_behind_flap(folder: Path, windows: Tensor, tmp_path: Path, sparsity: float) -> None:
    whole, plain = dense(folder), dense(folder)
    cuts = flap_refit(plain, windows, sparsity, 1)
    small = ours(folder, tmp_path / "out", windows, METHODS["flap+refit"], sparsity)
    require_the_same(small, plain, cuts, whole)


@SPARSITIES
@pytest.mark.parametrize("share", ["uniform", "as_written", "as_published"])
@pytest.mark.parametrize("variant", ["as_written", "as_published"])
@pytest.mark.parametrize("counts", ["ifv", "wifv", "wifn"])
def test_flap(
    folder: Path, windows: Tensor, tmp_path: Path, counts: Any, variant: str, share: str, sparsity: float
) -> None:
    whole, plain = dense(folder), dense(folder)
    per_layer = (lambda layer: published_counts(layer, sparsity)) if share == "uniform" else None
    cuts = flap(plain, windows, sparsity, counts, variant == "as_published", per_layer, share == "as_published")
    part = {"name": "flap", "counts": counts, "variant": variant}
    spread = {"name": "uniform"} if per_layer else {"name": "global-threshold", "costs": share}
    method = Method.model_validate({"attention": part, "ffn": part, "repair": "mean-bias", "share": spread})
    small = ours(folder, tmp_path / "out", windows, method, sparsity)
    require_the_same(small, plain, cuts, whole)


@pytest.mark.parametrize(("name", "sparsity"), [("llm-pruner", 0.3), ("llm-pruner-published", 0.5)])
@pytest.mark.parametrize("folding", ["as_written", "as_published"])
@pytest.mark.parametrize("estimate", ["element1", "element2", "vector", "mixed"])
def test_llm_pruner(
    folder: Path, windows: Tensor, tmp_path: Path, estimate: Any, folding: str, name: str, sparsity: float
) -> None:
    whole, plain = dense(folder), dense(folder)
    inside = LAYERS[1:]  # a third of the layers is skipped
    published = llm_pruner_counts(plain.model.layers[0], sparsity)
    counts = published if name.endswith("published") else fitting_counts(plain, inside, sparsity)
    cuts = llm_pruner(plain, windows, counts, inside, estimate, folding == "as_published")
    method = METHODS[name].overridden({"estimate": estimate, "folding": folding, "skip_first": 0.34, "skip_last": 0})
    small = ours(folder, tmp_path / "out", windows, method, sparsity)
    require_the_same(small, plain, cuts, whole)


@SPARSITIES
@pytest.mark.parametrize("name", ["svd-llm", "svd-llm-update", "svd-llm-v2"])
def test_svd_llm(folder: Path, windows: Tensor, tmp_path: Path, name: str, sparsity: float) -> None:
    plain = dense(folder)
    svd_llm(plain, windows, sparsity, update=name.endswith("update"), v2=name.endswith("v2"))
    require_the_function(ours(folder, tmp_path / "out", windows, METHODS[name], sparsity), plain)


@SPARSITIES
@pytest.mark.parametrize(("name", "plainly"), [("olica", olica), ("slimllm-ffn", slimllm_ffn)])
def test_factors_beside_channels(
    folder: Path, windows: Tensor, tmp_path: Path, name: str, plainly: Any, sparsity: float
) -> None:
    whole, plain = dense(folder), dense(folder)
    cuts = plainly(plain, windows, sparsity)
    small = ours(folder, tmp_path / "out", windows, METHODS[name], sparsity)
    for layer, before, cut in zip(small.model.layers, whole.model.layers, cuts, strict=True):
        assert _lacking(before.mlp.gate_proj.weight, layer.mlp.gate_proj.weight) == cut.channels != set()
    require_the_function(small, plain)
