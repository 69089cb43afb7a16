"""Ranks, channels, parameters and MACs: the published numbers, and what must hold for any shape."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig, PreTrainedConfig, Qwen2Config

from lorap.compression.planning import plan_model
from lorap.core.budget import attention_ranks, break_even_rank, ffn_ranks, rank_for, removed_positions
from tests.compare import method_of
from tests.published import FFN, QK, VO, Shape, removed, square_ranks

pytestmark = pytest.mark.thorough

LLAMA_7B = {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32}
LLAMA_13B = {"hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40, "num_attention_heads": 40}
GROUPED = {
    "llama-3-8b": LlamaConfig(**LLAMA_7B | {"intermediate_size": 14336}, num_key_value_heads=8, vocab_size=128256),
    "qwen2-0.5b": Qwen2Config(
        hidden_size=896,
        intermediate_size=4864,
        num_hidden_layers=24,
        num_attention_heads=14,
        num_key_value_heads=2,
        vocab_size=151936,
        tie_word_embeddings=True,
    ),
    "qwen2-7b": Qwen2Config(
        hidden_size=3584,
        intermediate_size=18944,
        num_hidden_layers=28,
        num_attention_heads=28,
        num_key_value_heads=4,
        vocab_size=152064,
    ),
}

sparsities = st.integers(1, 99).map(lambda percent: percent / 100)
allocations = st.floats(0.1, 20)
heads = st.integers(1, 16)


@st.composite
def attention_shapes(draw: st.DrawFn) -> dict[str, Shape]:
    """Those of multi-head and grouped-query attention, with heads that may be narrower or wider than hidden / heads."""
    width, groups, queries = draw(st.sampled_from([8, 16, 64])), draw(heads), draw(st.integers(1, 4))
    hidden = draw(st.one_of(st.just(width * groups * queries), st.integers(8, 512).map(lambda n: 2 * n)))
    out, small = width * groups * queries, width * groups
    return {"q_proj": (out, hidden), "k_proj": (small, hidden), "v_proj": (small, hidden), "o_proj": (hidden, out)}


def cost(shape: Shape, rank: int | None) -> int:
    return shape[0] * shape[1] if rank is None else rank * (shape[0] + shape[1])


def rounding_up(shapes: dict[str, Shape]) -> int:
    """What a rank of 1 can cost more than the budget, where the budget has not even that."""
    return sum(out + inp for out, inp in shapes.values())


def planned(config: PreTrainedConfig, sparsity: float, **changes: Any) -> dict[str, Any]:
    return plan_model(config, method_of(**changes), sparsity).as_dict(tokens=64)


@pytest.mark.parametrize(
    ("dims", "sparsity", "qk", "vo", "channels", "parameters"),
    [
        (LLAMA_7B, 0, None, None, 11008, 6_738_415_616),
        (LLAMA_7B, 0.2, 1228, None, 8807, 5_443_031_040),
        (LLAMA_7B, 0.5, 512, 1536, 5504, 3_500_412_928),
        (LLAMA_13B, 0, None, None, 13824, 13_015_864_320),
        (LLAMA_13B, 0.2, 1536, None, 11059, 10_478_187_520),
        (LLAMA_13B, 0.5, 640, 1920, 6912, 6_671_979_520),
    ],
)
def test_llama_gets_the_integers_of_the_published_formulas(
    dims: dict[str, int], sparsity: float, qk: int | None, vo: int | None, channels: int, parameters: int
) -> None:
    plan = planned(LlamaConfig(**dims, vocab_size=32000), sparsity)
    layer = {"ranks": dict.fromkeys(QK, qk) | dict.fromkeys(VO, vo) | dict.fromkeys(FFN), "channels": channels}
    found = [{key: planned_layer[key] for key in layer} for planned_layer in plan["layers"]]
    assert found == [layer] * dims["num_hidden_layers"]
    assert plan["parameters"] == parameters


def test_llama_at_30_percent_has_the_size_of_the_published_formulas() -> None:
    plan = planned(LlamaConfig(**LLAMA_7B, vocab_size=32000), 0.3)
    assert (plan["layers"][0]["ranks"]["q_proj"], plan["layers"][0]["channels"]) == (819, 7706)
    assert round(plan["parameters"] / 1e9, 3) == 4.796


@pytest.mark.parametrize(("sparsity", "with_elementwise"), [(0, 424.02e9), (0.2, 341.11e9), (0.5, 216.78e9)])
def test_macs_of_64_tokens_are_those_of_method_md_but_for_the_elementwise_work(
    sparsity: float, with_elementwise: float
) -> None:
    macs = planned(LlamaConfig(**LLAMA_7B, vocab_size=32000), sparsity)["macs"]
    assert 0.998 * with_elementwise < macs < with_elementwise


@pytest.mark.parametrize("ffn", ["prune", "decompose"])
@pytest.mark.parametrize("sparsity", [0.1, 0.2, 0.3, 0.5, 0.8])
@pytest.mark.parametrize("name", list(GROUPED))
def test_grouped_query_models_stay_inside_their_budget_and_use_it(name: str, sparsity: float, ffn: str) -> None:
    config = GROUPED[name]
    dense, small = (planned(config, s, ffn=ffn)["parameters"] for s in (0, sparsity))
    untouched = config.vocab_size * config.hidden_size * (1 if config.tie_word_embeddings else 2)
    removed_share = (dense - small) / (dense - untouched)
    a_channel = 1 / config.intermediate_size  # positions in an order are whole numbers, both ends rounded down
    assert sparsity - a_channel < removed_share < sparsity + 0.005


@given(attention_shapes(), sparsities, allocations)
def test_attention_never_costs_more_than_dense_nor_than_its_budget(
    shapes: dict[str, Shape], sparsity: float, allocation: float
) -> None:
    ranks = attention_ranks(shapes, sparsity, allocation)
    for name, rank in ranks.items():
        assert cost(shapes[name], rank) <= max(cost(shapes[name], None), cost(shapes[name], 1))
    budget = (1 - sparsity) * sum(cost(shape, None) for shape in shapes.values())
    assert sum(cost(shapes[name], rank) for name, rank in ranks.items()) <= budget + rounding_up(shapes)


@given(attention_shapes(), sparsities, allocations)
def test_attention_leaves_less_than_two_ranks_a_projection_of_its_budget_unused(
    shapes: dict[str, Shape], sparsity: float, allocation: float
) -> None:
    ranks = attention_ranks(shapes, sparsity, allocation)
    budget = (1 - sparsity) * sum(cost(shape, None) for shape in shapes.values())
    assert sum(cost(shapes[name], rank) for name, rank in ranks.items()) > budget - 2 * rounding_up(shapes) - 1


# Below an allocation of 1 the published formula lets q and k cost more than dense.
@given(st.integers(2, 2048).map(lambda n: 2 * n), sparsities, st.floats(1, 20))
def test_square_attention_gets_the_published_ranks(h: int, sparsity: float, allocation: float) -> None:
    ranks = attention_ranks(dict.fromkeys(QK + VO, (h, h)), sparsity, allocation)
    qk, vo = square_ranks(h, 1 - sparsity, allocation)
    vo = None if vo is None else max(1, vo)
    assert ranks == dict.fromkeys(QK, max(1, qk)) | dict.fromkeys(VO, vo)


@given(attention_shapes(), st.floats(0.1, 20))
def test_sparsity_zero_leaves_everything_dense(shapes: dict[str, Shape], allocation: float) -> None:
    assert set(attention_ranks(shapes, 0, allocation).values()) == {None}
    assert set(ffn_ranks(shapes, 0).values()) == {None}
    assert len(removed_positions(1000, 0, 0.01)) == 0


@given(attention_shapes(), sparsities, sparsities, allocations)
def test_more_sparsity_never_costs_more(shapes: dict[str, Shape], one: float, other: float, allocation: float) -> None:
    low, high = sorted((one, other))

    def costs(sparsity: float) -> list[int]:
        parts = attention_ranks(shapes, sparsity, allocation), ffn_ranks(shapes, sparsity)
        return [sum(cost(shapes[name], rank) for name, rank in ranks.items()) for ranks in parts]

    assert all(light <= heavy for light, heavy in zip(costs(high), costs(low), strict=True))
    assert len(removed_positions(1000, low, 0.01)) <= len(removed_positions(1000, high, 0.01))


@given(st.tuples(st.integers(1, 4096), st.integers(1, 4096)), st.floats(0.01, 0.99))
def test_a_factored_projection_has_the_largest_rank_that_its_share_pays_for(shape: Shape, share: float) -> None:
    rank = rank_for(shape, share)
    assert rank is not None
    assert rank == 1 or cost(shape, rank) <= share * cost(shape, None) * (1 + 1e-12)
    assert cost(shape, rank + 1) > share * cost(shape, None) * (1 - 1e-12)
    assert rank <= max(1, break_even_rank(shape))


@given(st.integers(10, 20000), sparsities, st.floats(0, 0.99))
def test_the_removed_channels_are_as_many_as_published_and_leave_one(
    width: int, sparsity: float, keep_least: float
) -> None:
    begin, end = removed(width, sparsity, keep_least)
    positions = removed_positions(width, sparsity, keep_least)
    assert len(positions) == min(end - begin, width - 1)
    assert 0 <= positions.start <= positions.stop <= width
    if sparsity + keep_least <= 1:
        assert positions.start == begin
