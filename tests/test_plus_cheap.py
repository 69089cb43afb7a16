"""What makes parts of lorap-plus cheaper: a survey of some windows, narrow heads without the dense stream."""

from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from lorap.compression.dense import export_dense
from lorap.model.folder import load_model
from tests.compare import method_of, survey_for
from tests.rival_methods import METHODS, by


def test_a_survey_of_some_windows_is_that_of_a_calibration_with_these_alone(
    family_folder: Path, windows: Tensor
) -> None:
    method = METHODS["lorap-plus"]
    few = survey_for(method, family_folder, windows, windows=2)
    alone = survey_for(method, family_folder, windows[[0, -1]])
    every, more = (survey_for(method, family_folder, windows, windows=count) for count in (None, 99))
    for found, expected, whole, same in zip(few, alone, every, more, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
        torch.testing.assert_close(same, whole, rtol=0, atol=0)
        assert not torch.equal(found["ffn"], whole["ffn"])


@torch.no_grad()
def through_heads(model: PreTrainedModel, windows: Tensor) -> tuple[Tensor, Tensor]:
    """What each head of the first layer adds, (tokens, heads, hidden), and what a token counts behind it, (tokens,)."""
    layer, heads = model.model.layers[0], model.config.num_attention_heads
    seen: dict[str, Tensor] = {}
    hooks = [
        layer.self_attn.o_proj.register_forward_pre_hook(lambda _, args: seen.update(inputs=args[0].flatten(0, 1))),
        layer.post_attention_layernorm.register_forward_pre_hook(lambda _, args: seen.update(stream=args[0])),
    ]
    model(input_ids=windows, use_cache=False)
    for hook in hooks:
        hook.remove()
    columns, inputs = (found.view(len(found), heads, -1) for found in (layer.self_attn.o_proj.weight, seen["inputs"]))
    added = torch.einsum("thd,ohd->tho", inputs, columns)
    return added, 1 / seen["stream"].square().mean(-1).flatten()


def test_narrow_heads_lose_least_in_the_mean_over_tokens_that_they_are_asked_for(
    tiny_folder: Path, windows: Tensor, tmp_path: Path
) -> None:
    dense, weights = through_heads(load_model(tiny_folder), windows)
    lost: dict[str, tuple[float, float]] = {}
    for asked in ("alike", "relative"):
        attention = {"name": "narrow-heads", "qk": "none", "shrinkage": 1e-4, "token_weights": asked}
        by(method_of(attention=attention, ffn="none"), tiny_folder, tmp_path / asked, windows, 0.5)
        stock = tmp_path / f"{asked}-dense"
        stock.mkdir()
        export_dense(tmp_path / asked, stock)
        errors = (through_heads(load_model(stock), windows)[0] - dense).square().sum((1, 2))
        lost[asked] = float(errors.mean()), float((errors * weights).mean())
    assert 0 < lost["alike"][0] < lost["relative"][0]
    assert 0 < lost["relative"][1] < lost["alike"][1]
