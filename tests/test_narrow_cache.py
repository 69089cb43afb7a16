"""Narrow heads make the KV cache smaller and change nothing else, whatever the family, the attention and the cache."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from lorap.compression.dense import export_dense
from lorap.model.counting import count_cache
from lorap.model.family import layer_shapes
from lorap.model.folder import load_model, skeleton
from lorap.model.layer_plan import LayerPlan
from lorap.tuning.loading import load_tuned
from tests.adapters import random_adapter
from tests.conftest import FAMILIES
from tests.plans import save_planned

DIMS = [(3, 11), (16, 16), (5, 2)]  # of the two key-value heads of each layer, 16 in the dense one
NEW = 20  # tokens to generate, beyond mistral's sliding window
IDS = torch.randint(3, 300, (2, 7), generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module", params=["mistral", "qwen3"])
def narrow(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random model whose heads of v and o are narrow and uneven."""
    config = FAMILIES[request.param]()
    shapes = layer_shapes(skeleton(config))
    plans = [replace(LayerPlan.dense(shape), value_dim=dims) for shape, dims in zip(shapes, DIMS, strict=True)]
    return save_planned(config, plans, tmp_path_factory.mktemp(request.param))


def cache_after(model: PreTrainedModel, ids: Tensor) -> Any:
    with torch.no_grad():
        return model(input_ids=ids, use_cache=True).past_key_values


def generated(model: Any, **how: Any) -> Tensor:
    tokens: Tensor = model.generate(IDS, max_new_tokens=NEW, do_sample=False, pad_token_id=0, **how)
    return tokens


def test_a_cache_keeps_what_the_heads_have_and_no_more(narrow: Path, tmp_path: Path) -> None:
    export_dense(narrow, tmp_path)
    ids = IDS[:, :5]
    padded_model = load_model(tmp_path)
    small, padded = cache_after(load_model(narrow), ids), cache_after(padded_model, ids)
    for dims, mine, theirs in zip(DIMS, small.layers, padded.layers, strict=True):
        torch.testing.assert_close(mine.keys, theirs.keys)
        assert theirs.values.numel() == ids.numel() * 2 * 16
        assert mine.values.numel() == ids.numel() * (sum(dims) + sum(dims) % 2), "spread evenly over both heads"
    assert kept_of(small, ids) == count_cache(load_model(narrow)) < kept_of(padded, ids) == count_cache(padded_model)


def kept_of(cache: Any, ids: Tensor) -> int:
    """Numbers a token in all layers."""
    return sum(layer.keys.numel() + layer.values.numel() for layer in cache.layers) // ids.numel()


def test_a_layer_without_attention_counts_its_tokens_in_the_cache_alone(tmp_path: Path) -> None:
    config = FAMILIES["llama-gqa"]()
    plans = [LayerPlan.dense(shape) for shape in layer_shapes(skeleton(config))]
    plans[1] = replace(plans[1], heads=0, kv_heads=0)
    model = load_model(save_planned(config, plans, tmp_path / "one-gone"))
    assert kept_of(cache_after(model, IDS), IDS) == count_cache(model)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_tokens_are_those_of_the_padded_model_and_of_no_cache(narrow: Path, tmp_path: Path, attention: str) -> None:
    export_dense(narrow, tmp_path)
    model, padded = load_model(narrow), load_model(tmp_path)
    for each in (model, padded):
        each.set_attn_implementation(attention)
    told = generated(model)
    assert torch.equal(told, generated(model, use_cache=False))
    assert torch.equal(told, generated(padded))
    assert torch.equal(told, generated(model, cache_implementation="static"))
    with torch.no_grad():
        state = model(input_ids=told[:, :9], use_cache=True)
        step = model(input_ids=told[:, 9:12], past_key_values=state.past_key_values).logits
        whole = padded(input_ids=told[:, :12], use_cache=False).logits[:, 9:]
    torch.testing.assert_close(step, whole, rtol=1e-4, atol=1e-4)


def test_an_adapter_beside_narrow_heads_has_the_small_cache_too(narrow: Path, tmp_path: Path) -> None:
    tuned = load_tuned(narrow, random_adapter(narrow, tmp_path / "adapter"))
    assert torch.equal(generated(tuned), generated(tuned, use_cache=False))
    assert cache_after(tuned, IDS).layers[0].values.numel() == IDS.numel() * sum(DIMS[0])
