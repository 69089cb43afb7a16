"""Low-rank weights that are stored as some of their own rows: the same products, for fewer numbers, and stable."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lorap.core.budget import pivot_counts, pivoted_numbers, pivoted_rank
from lorap.core.pivots import pivot_rows, pivoted
from lorap.errors import LorapError
from lorap.methods.joint_qk import JointQk
from lorap.model.layer_plan import LayerPlan, LayerShape
from lorap.model.sizes import dense_shape
from tests.conftest import FAMILIES

sizes = st.integers(1, 40)


@given(out=sizes, inp=sizes, share=st.floats(0, 1))
def test_the_rank_is_the_largest_that_the_numbers_are_enough_for(out: int, inp: int, share: float) -> None:
    numbers, most = int(share * out * inp), min(out, inp)
    rank = min(most, pivoted_rank((out, inp), numbers))
    assert pivoted_numbers((out, inp), rank) <= numbers
    assert rank == most or pivoted_numbers((out, inp), rank + 1) > numbers
    assert pivoted_numbers((out, inp), most) == out * inp, "a full rank takes no more than the dense weight"


@given(outs=st.tuples(sizes, sizes, sizes), share=st.floats(0, 1))
def test_counts_add_up_and_take_no_more_rows_than_there_are(outs: tuple[int, int, int], share: float) -> None:
    outputs = dict(zip("abc", outs, strict=True))
    rank = int(share * sum(outs))
    counts = pivot_counts(rank, outputs)
    assert sum(counts.values()) == rank
    assert all(0 < count <= outputs[name] for name, count in counts.items())


@given(seed=st.integers(0, 1000), rank=st.integers(1, 24), spread=st.floats(0, 3))
def test_products_are_the_same_and_rows_are_their_own(seed: int, rank: int, spread: float) -> None:
    draw = torch.Generator().manual_seed(seed)
    scales = torch.logspace(0, -spread, rank, dtype=torch.float64)  # as eigenvalues of a spectrum fall
    lefts = [torch.randn(out, rank, generator=draw, dtype=torch.float64) * scales for out in (24, 8)]
    right = torch.randn(rank, 30, generator=draw, dtype=torch.float64)
    counts = list(pivot_counts(rank, {"q": 24, "k": 8}).values())
    counts += [0] * (2 - len(counts))
    others, rows, orders = pivoted(lefts, right, counts)
    start = 0
    for left, count, other, order in zip(lefts, counts, others, orders, strict=True):
        own, start = rows[start : start + count], start + count
        made = torch.cat([own, other @ rows])[order]
        assert other.shape == (len(left) - count, rank)
        assert sorted(order.tolist()) == list(range(len(left)))
        torch.testing.assert_close(made.double(), left @ right, rtol=0, atol=1e-4 * float((left @ right).abs().max()))


def test_few_rows_of_queries_are_combined_of_many_others_without_large_factors() -> None:
    """Even where k is a hundred times q: factors of the size of 1 leave bfloat16 its digits."""
    draw = torch.Generator().manual_seed(0)
    lefts = [torch.randn(96, 60, generator=draw), 100 * torch.randn(32, 60, generator=draw)]
    others, _, _ = pivoted(lefts, torch.randn(60, 80, generator=draw), [45, 15])
    assert float(others[0].abs().max()) < 10
    taken = pivot_rows([left.double() for left in lefts], [45, 15])
    assert [len(set(rows.tolist())) for rows in taken] == [45, 15]


def test_rows_that_span_too_little_are_no_pivots() -> None:
    lefts = [torch.zeros(8, 3), torch.randn(8, 3, generator=torch.Generator().manual_seed(0))]
    with pytest.raises(torch.linalg.LinAlgError, match="choose storage factors"):  # type: ignore[attr-defined]
        pivoted(lefts, torch.eye(3), [2, 1])


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.999, 1.0])
def test_pivots_buy_a_higher_rank_with_the_same_numbers(family: str, share: float) -> None:
    shape = dense_shape(FAMILIES[family]().to_dict())
    dense = LayerPlan.dense(shape)
    plans = [JointQk.model_validate({"vo": "none", "storage": storage}).fitted(dense, shape, {"qk": share, "vo": 1}, {})
             for storage in ("pivoted", "factors")]  # fmt: skip
    for plan in plans:
        plan.require(shape, 0)
        weights = sum(out * inp for out, inp in (shape.sizes[name] for name in ("q_proj", "k_proj")))
        assert plan.stored(shape) <= shape.parameters - weights + share * weights + 1e-6
    pivots, factors = (plan.ranks["q_proj"] or 10**6 for plan in plans)
    assert pivots >= factors


def low_rank_plan() -> tuple[LayerPlan, LayerShape]:
    shape = dense_shape(FAMILIES["llama-gqa"]().to_dict())
    return JointQk.model_validate({"vo": "none"}).fitted(LayerPlan.dense(shape), shape, {"qk": 0.5, "vo": 1}, {}), shape


@pytest.mark.parametrize(
    "pivots",
    [{"q_proj": 1}, {"q_proj": "many"}, {"q_proj": 10**6}, {"v_proj": 4}, {"a_proj": 4}, {"q_proj": 0}, ["q_proj"], 3],
    ids=str,
)
def test_pivots_that_are_not_the_rows_of_a_right_factor_are_refused(pivots: object) -> None:
    plan, shape = low_rank_plan()
    assert LayerPlan.from_dict(plan.as_dict(), shape, 7) == plan
    with pytest.raises(LorapError, match=r"^layer 7: "):
        LayerPlan.from_dict(plan.as_dict() | {"pivots": pivots}, shape, 7)


def test_a_plan_of_the_second_format_is_read_where_it_has_factors() -> None:
    plan, shape = low_rank_plan()
    old = {key: value for key, value in plan.as_dict().items() if key != "pivots"} | {"storage": {}}
    assert LayerPlan.from_dict(old, shape, 7).pivots == {}
    with pytest.raises(LorapError, match="damaged"):
        LayerPlan.from_dict(old | {"storage": {"q_proj": "pivoted"}}, shape, 7)
