"""What the rivals leave of models, from configurations alone: published counts, and one budget for all."""

import json
import re
from collections.abc import Sequence
from functools import cache

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig, PreTrainedConfig, Qwen2Config

from lorap.compression.planning import Plan, allot, plan_model
from lorap.errors import LorapError
from lorap.model.counting import count_parameters
from lorap.model.family import layer_shapes
from lorap.model.folder import skeleton
from lorap.model.layer_plan import LayerPlan, LayerShape
from lorap.model.sizes import dense_shape
from lorap.settings.config import load_params
from lorap.settings.method import Method, Scores
from tests.workflow import ROOT

METHODS = load_params(ROOT / "params.yaml").methods
LARGE = {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32}
CONFIGS: dict[str, PreTrainedConfig] = {
    "llama-7b": LlamaConfig(**LARGE, intermediate_size=11008, vocab_size=32000),
    "llama-3-8b": LlamaConfig(**LARGE, intermediate_size=14336, num_key_value_heads=8, vocab_size=128256),
    "smollm2-135m": LlamaConfig(
        hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3,
        vocab_size=49152, tie_word_embeddings=True,
    ),
    "qwen2-0.5b": Qwen2Config(
        hidden_size=896, intermediate_size=4864, num_hidden_layers=24, num_attention_heads=14, num_key_value_heads=2,
        vocab_size=151936, tie_word_embeddings=True,
    ),
}  # fmt: skip
RIVALS = ("magnitude-sp", "wanda-sp", "flap", "llm-pruner", "svd-llm", "olica", "slimllm")
COMMON = [
    name for name in METHODS
    if name.startswith(RIVALS) and not name.endswith("published") and not METHODS[name].share.surveyed
]  # fmt: skip
ENDS = {"skip_first": 0.09375, "skip_last": 0.03125}  # of the published "50 %": layers 3 to 30


def planned(model: str, name: str, sparsity: float, **changes: float) -> Plan:
    return plan_model(CONFIGS[model], METHODS[name].overridden(changes), sparsity)


@cache
def shapes_of(model: str) -> list[LayerShape]:
    return layer_shapes(skeleton(CONFIGS[model]))


def drawn_scores(shapes: Sequence[LayerShape], seed: int) -> Scores:
    """Scores of all units, skewed as fluctuations are, of mean 0 and deviation 1 in each layer's channels; spectra."""
    generator = torch.Generator().manual_seed(seed)
    scores = []
    for shape in shapes:
        channels = torch.rand(shape.channels, generator=generator).log().neg() - 1
        units = {"kv_heads": torch.randn(shape.kv_heads, generator=generator) * 0.3, "channels": channels}
        spectra = {name: torch.rand(min(size), generator=generator).log().square().sort(descending=True).values * 100
                   for name, size in shape.sizes.items()}  # fmt: skip
        scores.append(units | spectra)
    return scores


def removed(shapes: Sequence[LayerShape], method: Method, sparsity: float, scores: Scores) -> float:
    plans = allot(method, shapes, sparsity, scores)
    stored = sum(plan.stored(shape) for plan, shape in zip(plans, shapes, strict=True))
    return 1 - stored / sum(shape.parameters for shape in shapes)


@pytest.mark.parametrize(
    ("model", "sparsity", "ends", "heads", "channels", "layers", "parameters"),
    [
        ("llama-7b", 0.25, {}, 24, 8256, 26, 5_422_977_024),
        ("llama-7b", 0.6, ENDS, 13, 4403, 28, 3_350_188_032),
        ("llama-3-8b", 0.25, {}, 24, 10752, 26, 6_612_586_496),
    ],
)
def test_llm_pruner_leaves_what_is_published(
    model: str, sparsity: float, ends: dict[str, float], heads: int, channels: int, layers: int, parameters: int
) -> None:
    plan = planned(model, "llm-pruner-published", sparsity, **ends)
    whole = CONFIGS[model].num_attention_heads
    cut = [layer for layer in plan.layers if layer.heads < whole]
    assert {(layer.heads, layer.channels) for layer in cut} == {(heads, channels)}
    assert len(cut) == layers
    assert count_parameters(plan.compressed) == parameters


@pytest.mark.parametrize(
    ("name", "sparsity", "parameters"),
    [
        ("wanda-sp-published", 0.2, 5_470_294_016),
        ("wanda-sp-published", 0.3, 4_836_036_608),
        ("wanda-sp-published", 0.5, 3_500_412_928),
        ("svd-llm", 0.2, 5_442_539_520),
        ("svd-llm", 0.3, 4_794_036_224),
        ("svd-llm", 0.5, 3_499_528_192),
    ],
)
def test_others_leave_what_is_published(name: str, sparsity: float, parameters: int) -> None:
    assert count_parameters(planned("llama-7b", name, sparsity).compressed) == parameters


@pytest.mark.parametrize("sparsity", [0.2, 0.3, 0.5])
@pytest.mark.parametrize("name", COMMON)
@pytest.mark.parametrize("model", CONFIGS)
def test_every_method_meets_the_common_budget(model: str, name: str, sparsity: float) -> None:
    shapes, method = shapes_of(model), METHODS[name]
    for seed in range(3 if method.share.scored else 1):
        scores = drawn_scores(shapes, seed) if method.share.scored else ()
        assert removed(shapes, method, sparsity, scores) == pytest.approx(sparsity, rel=0.005)


def test_no_rival_of_the_common_budget_is_forgotten() -> None:
    assert {rival for rival in RIVALS for name in COMMON if name.startswith(rival)} == set(RIVALS)


@pytest.mark.parametrize("sparsity", [0.5, 0.9])
@pytest.mark.parametrize("model", CONFIGS)
def test_a_budget_out_of_reach_names_the_nearest_which_works(model: str, sparsity: float) -> None:
    method = METHODS["wanda-sp"].overridden({"skip_first": 0.4, "skip_last": 0.4})
    with pytest.raises(LorapError, match=r"^share whole-budget: sparsity .* with \d+ of \d+ layers cut") as refused:
        removed(shapes_of(model), method, sparsity, ())
    named = re.search(r"the nearest is (\d\.\d+)", str(refused.value))
    assert named
    nearest = float(named[1])
    assert 0 < nearest < sparsity
    assert removed(shapes_of(model), method, nearest, ()) == pytest.approx(nearest, rel=0.005)
    with pytest.raises(LorapError, match="out of reach"):
        removed(shapes_of(model), method, nearest + 0.01, ())


def test_where_all_layers_are_cut_no_advice_to_cut_more_is_given() -> None:
    with pytest.raises(LorapError, match=r"with 30 of 30 layers cut; the nearest is 0.9\d*$"):
        removed(shapes_of("smollm2-135m"), METHODS["wanda-sp"], 0.97, ())


def test_a_whole_budget_without_an_ffn_to_cut_is_refused() -> None:
    with pytest.raises(LorapError, match="share whole-budget: needs an ffn treatment"):
        removed(shapes_of("smollm2-135m"), METHODS["wanda-sp"].overridden({"ffn": "none"}), 0.3, ())


@given(dim=st.integers(1, 256), tenths=st.integers(1, 8))
def test_olica_takes_the_published_dimensions_however_a_fraction_is_rounded(dim: int, tenths: int) -> None:
    sizes = {"hidden_size": 4 * dim, "intermediate_size": 8 * dim, "num_attention_heads": 4}
    shape = dense_shape(sizes)
    plan = METHODS["olica"].treatments[0].shrunk(LayerPlan.dense(shape), shape, tenths / 10)
    assert plan.value_dim == dim - min(dim - 1, tenths * dim // 20)


def test_a_share_without_units_to_score_says_so() -> None:
    method = Method.model_validate({"attention": "svd-llm", "ffn": "decompose", "share": "global-threshold"})
    with pytest.raises(LorapError, match="share global-threshold: no treatment scores heads or channels; choose one"):
        allot(method, shapes_of("smollm2-135m"), 0.5, [{} for _ in shapes_of("smollm2-135m")])


def test_a_plan_states_what_it_stores_and_its_biases() -> None:
    shapes = shapes_of("smollm2-135m")
    plan = plan_model(CONFIGS["smollm2-135m"], METHODS["flap"], 0.5, scores=drawn_scores(shapes, 0))
    stated = json.loads(json.dumps(plan.as_dict(128)))
    without = plan_model(CONFIGS["smollm2-135m"], METHODS["flap"].overridden({"repair": "none"}), 0.5,
                         scores=drawn_scores(shapes, 0))  # fmt: skip
    assert stated["linear_parameters"] - without.linear_parameters == 2 * 576 * 30
    assert stated["removed"] == 1 - stated["linear_parameters"] / sum(shape.parameters for shape in shapes)
