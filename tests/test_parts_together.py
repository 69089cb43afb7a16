"""Parts of methods beside each other: budgets that no combination exceeds, surveys beside sweeps, other layers."""

import gc
import math
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig

from lorap.artifacts.specs import SurveySpec
from lorap.compression.planning import allot
from lorap.compression.surveying import survey_model
from lorap.core.narrow import decoders
from lorap.errors import LorapError
from lorap.methods.registry import registered
from lorap.methods.uniform import Uniform
from lorap.model.family import layer_shapes, parent
from lorap.model.folder import load_model, read_config, skeleton
from lorap.model.modeling_lorap import Absent
from lorap.model.swap import add_bias
from lorap.model.units import keep_units
from lorap.settings.method import Scores
from lorap.settings.schema import Survey
from tests.compare import CPU, RUN, compressed, method_of, survey_for, total_variation
from tests.conftest import SMALL, save_random_model
from tests.rival_methods import METHODS, by


@pytest.fixture(scope="module")
def survey(tiny_folder: Path, windows: Tensor) -> Scores:
    """Of the tiny model."""
    return survey_for(METHODS["lorap-plus"], tiny_folder, windows)


@pytest.mark.parametrize("sparsity", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("ffn", ["obs", "prune", "wanda-sp", "decompose"])
@pytest.mark.parametrize(
    ("attention", "half"),
    [("awsvd", {}), ("joint-qk", {"vo": "narrow-heads"}), ("joint-qk", {"vo": "awsvd", "storage": "factors"}),
     ("narrow-heads", {"qk": "awsvd"}), ("wanda-sp", {}), ("olica", {})],
)  # fmt: skip
def test_no_plan_of_water_filling_exceeds_its_budget(
    tiny_folder: Path, survey: Scores, attention: str, half: dict[str, str], ffn: str, sparsity: float
) -> None:
    method = method_of(attention=attention, ffn=ffn, share={"name": "water-filling", "floor": 0.02}, **half)
    shapes = layer_shapes(skeleton(read_config(tiny_folder)))
    plans = allot(method, shapes, sparsity, survey)
    stored = sum(plan.stored(shape) for plan, shape in zip(plans, shapes, strict=True))
    dense = sum(shape.parameters for shape in shapes)
    assert stored <= (1 - sparsity) * dense + 1e-6
    units = 3 * shapes[0].sizes["gate_proj"][1] * (1 if ffn != "decompose" else len(shapes) * 4)
    heads = dense * 0.1 if attention == "wanda-sp" else 0  # where the smaller share of two leaves the rest of one
    assert stored > (1 - sparsity) * dense - units - heads


def test_a_part_that_sweeps_works_beside_a_share_that_surveys(
    tiny_folder: Path, windows: Tensor, tmp_path: Path
) -> None:
    plus = METHODS["lorap-plus"]
    for number, changes in enumerate([{"repair": "mean-bias"}, {"attention": "flap"}, {"ffn": "llm-pruner"}]):
        plan = by(plus.overridden(changes), tiny_folder, tmp_path / str(number), windows, 0.3)
        assert plan.removed >= 0.3 - 1e-2
    with pytest.raises(LorapError, match="share water-filling: has to know the model's layers, give --survey FILE"):
        compressed(tiny_folder, tmp_path / "none", windows, share="water-filling", repair="mean-bias")


@pytest.mark.parametrize("parts", [{"attention": "flap", "ffn": "obs"}, {"attention": "narrow-heads", "ffn": "flap"}])
def test_a_treatment_that_scores_nothing_goes_by_its_own_rule_beside_one_threshold(
    tiny_folder: Path, windows: Tensor, tmp_path: Path, parts: dict[str, str]
) -> None:
    method = method_of(**parts, share="global-threshold")
    assert 0.2 < by(method, tiny_folder, tmp_path / "out", windows, 0.3).removed < 0.4


@pytest.mark.parametrize(
    ("family", "more"), [("olmo2", {}), ("stablelm", {"use_parallel_residual": True}), ("stablelm", {})], ids=str
)
def test_layers_with_another_stream_are_refused_where_that_matters(
    family: str, more: dict[str, bool], windows: Tensor, tokenizer_folder: Path, tmp_path: Path
) -> None:
    config = AutoConfig.for_model(family, **SMALL, num_key_value_heads=2, pad_token_id=0, **more)
    folder = save_random_model(config, tmp_path / "model", tokenizer_folder)
    small = compressed(folder, tmp_path / "lorap", windows, 0.0)
    assert total_variation(load_model(folder), load_model(small), windows) < 1e-3
    refitted: dict[str, Any] = {"attention": "awsvd", "ffn": "obs", "repair": "refit"}
    run = {name: value for name, value in RUN.items() if name != "form"}
    spec = SurveySpec(survey=Survey(), **run)
    if family == "stablelm" and not more:
        compressed(folder, tmp_path / "refit", windows, **refitted)
        survey_model(spec, folder, windows, CPU, quiet=True)
        return
    told = r"DecoderLayer: does not add its attention to the stream and then its FFN, .*; choose a method without"
    with pytest.raises(LorapError, match=told):
        compressed(folder, tmp_path / "refit", windows, **refitted)
    with pytest.raises(LorapError, match=told):
        survey_model(spec, folder, windows, CPU, quiet=True)


def test_a_bias_has_the_precision_of_its_layer_also_where_the_attention_is_gone(tiny_folder: Path) -> None:
    layer = load_model(tiny_folder).to(torch.bfloat16).model.layers[0]
    keep_units(layer, "kv_heads", torch.tensor([], dtype=torch.int64))
    for name in ("o_proj", "o_proj", "down_proj"):
        add_bias(layer, name, torch.ones(64, dtype=torch.float32))
    assert {bias.dtype for key, bias in layer.named_parameters() if key.endswith("bias")} == {torch.bfloat16}
    gone = parent(layer, "o_proj")
    assert isinstance(gone, Absent)
    torch.testing.assert_close(gone.bias.float(), torch.full((64,), 2.0))


def test_dimensions_of_a_head_that_are_always_zero_are_decoded_as_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(50, 8, generator=generator, dtype=torch.float64)
    outputs[:, 5:] = 0
    encoder = torch.linalg.qr(torch.randn(8, 8, generator=generator, dtype=torch.float64)).Q[:7]
    moment = outputs.T @ outputs / 50
    found = decoders(encoder, moment[None])[0]
    torch.testing.assert_close(outputs @ encoder.T @ found.T, outputs, atol=1e-6, rtol=0)
    assert found.abs().max() < 10, "what the heads never show is not guessed"


def test_settings_without_a_meaning_are_refused(tiny_folder: Path) -> None:
    for setting in ({"emphasis": math.inf}, {"depth": 1000}, {"attention_weight": math.inf}):
        with pytest.raises(ValueError, match=next(iter(setting))):
            method_of(share={"name": "water-filling"} | setting)
    method = method_of(share={"name": "some-layers", "skip_first": 0.7, "skip_last": 0.5})
    with pytest.raises(LorapError, match="share some-layers: none of 3 layers is cut; lower --skip-first or --skip-l"):
        allot(method, layer_shapes(skeleton(read_config(tiny_folder))), 0.5, ())


def test_two_parts_of_one_name_are_refused() -> None:
    class Again(Uniform):
        name: Literal["uniform"] = "uniform"

    try:
        with pytest.raises(ValueError, match=r"share uniform: lorap.methods.uniform and tests\S* have a part of this"):
            registered.__wrapped__("share")
    finally:
        del Again
        gc.collect()
