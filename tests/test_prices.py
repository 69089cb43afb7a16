"""What a surveyed error is taken to cost, against what it costs when the treatment is applied."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, PreTrainedModel

from lorap.core.budget import VO
from lorap.data.corpora import pydoc_rows
from lorap.data.windows import draw_windows
from lorap.methods.awsvd import Awsvd
from lorap.methods.joint_qk import JointQk
from lorap.methods.prices import by_channels, by_factors_of_each, by_joint_rank, by_value_dims
from lorap.model.family import layer_shapes
from lorap.model.folder import load_model, skeleton
from lorap.model.layer_plan import LayerPlan, LayerShape
from lorap.model.tokenizer import load_tokenizer
from tests.compare import survey_for
from tests.conftest import SMALL
from tests.plain import Seen, factors
from tests.rival_methods import METHODS


def shape(groups: int) -> LayerShape:
    return layer_shapes(skeleton(LlamaConfig(**SMALL, num_key_value_heads=groups)))[0]


def surveyed(of: LayerShape) -> dict[str, Tensor]:
    """A layer in which every dimension of v's heads carries 1."""
    return {
        "vo": torch.ones(of.kv_heads, of.head_dim),
        "qk": torch.ones(min(of.stacked)),
        "ffn": torch.tensor([[96.0, 0.0], [48.0, 2.0]]),
    }


def test_prices_go_from_the_dense_weights_down_and_no_error_falls_on_the_way() -> None:
    for groups in (1, 2, 4):
        of = shape(groups)
        for priced in (by_channels, by_value_dims, by_factors_of_each, by_joint_rank):
            points = priced(of, surveyed(of))
            assert points[0][1] == 0
            sizes, errors = zip(*points, strict=True)
            assert list(sizes) == sorted(set(sizes), reverse=True), priced
            assert list(errors) == sorted(errors), priced
        assert by_value_dims(of, surveyed(of))[0][0] == sum(out * inp for out, inp in (of.sizes[name] for name in VO))


def test_factors_of_square_weights_lose_half_of_their_ranks_before_anything_is_saved() -> None:
    of = shape(4)  # v and o are 64 x 64
    dense, narrow = by_factors_of_each(of, surveyed(of)), dict(by_value_dims(of, surveyed(of)))
    size, error = dense[1]
    assert size == pytest.approx(2 * 64 * 64 * 63 / 64)
    assert error == 2 * (64 - int(63 / 2))  # both weights are left with 31 of 64
    assert narrow[int(size)] == 1


def test_an_untouched_pair_is_offered_at_its_dense_size_alone() -> None:
    attention = JointQk(vo="none")
    of = shape(2)
    assert attention.priced("vo", of, surveyed(of)) == [(64 * 64 + 64 * 32, 0.0)]


def output_change(model: PreTrainedModel, index: int, ranks: dict[str, int], windows: Tensor) -> float:
    """How far a layer's attention moves when v and o become factors, relative to the residual stream."""
    layer = model.model.layers[index]
    passed: dict[str, Tensor] = {}
    dense = {name: getattr(layer.self_attn, name) for name in ranks}
    seen = {name: Seen(linear, False) for name, linear in dense.items()}

    def run() -> Tensor:
        model(input_ids=windows, use_cache=False)
        return passed["out"]

    hooks = [
        *(linear.register_forward_hook(seen[name]) for name, linear in dense.items()),
        layer.self_attn.register_forward_hook(lambda *args: passed.update(out=args[2][0])),
        layer.post_attention_layernorm.register_forward_pre_hook(lambda _, args: passed.update(middle=args[0])),
    ]
    before, middle = run(), passed["middle"]
    for name, rank in ranks.items():
        setattr(layer.self_attn, name, factors(dense[name], rank, "awsvd", seen[name]))
    after = run()
    for name, linear in dense.items():
        setattr(layer.self_attn, name, linear)
    for hook in hooks:
        hook.remove()
    return float(((after - before).square().mean(-1) / middle.square().mean(-1)).mean())


@torch.no_grad()
def test_factors_of_v_and_o_lose_about_what_their_price_says_and_narrow_heads_would_lose_far_less(
    stories: Path,
) -> None:
    windows = draw_windows(load_tokenizer(stories), pydoc_rows("calibration"), 32, 128, seed=0)
    survey = survey_for(METHODS["lorap-fast"], stories, windows)
    attention, model = Awsvd(), load_model(stories)
    for index, (layer, of) in enumerate(zip(survey, layer_shapes(model), strict=True)):
        dense = by_value_dims(of, layer)[0][0]
        for share in (0.75, 0.5, 0.25):
            plan = attention.fitted(LayerPlan.dense(of), of, {"qk": 1.0, "vo": share}, layer)
            ranks = {name: rank for name in VO if (rank := plan.ranks[name])}
            measured = output_change(model, index, ranks, windows)
            price = next(error for size, error in by_factors_of_each(of, layer) if size <= share * dense)
            narrow = next(error for size, error in by_value_dims(of, layer) if size <= share * dense)
            assert 0.8 < price / measured < 2
            assert narrow < 0.6 * measured
