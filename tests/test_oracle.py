"""Compression against the plain form of the published procedure: the same model must come out."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from lorap.compression.run import compress
from lorap.data.corpora import pydoc_rows
from lorap.data.windows import draw_windows
from lorap.errors import LorapError
from lorap.methods.registry import SLOTS, registered
from lorap.methods.removes_units import RemovesHeads
from lorap.model.folder import load_model
from lorap.model.tokenizer import load_tokenizer
from tests.compare import BOUND, CPU, compressed, distributions, spec_of, survey_for, total_variation
from tests.plain import ATTENTIONS, FFNS, compress_plain

pytestmark = pytest.mark.thorough

REGISTERED = [(attention, ffn) for attention in registered("attention") for ffn in registered("ffn")]
PUBLISHED = [(attention, ffn) for attention, ffn in REGISTERED if attention in ATTENTIONS and ffn in FFNS]
TREATMENTS = [pair for pair in PUBLISHED if pair != ("none", "none")]
# Every part of every slot once, beside parts that do little else.
PARTS = [(slot, name) for slot in SLOTS for name in registered(slot)]


def dense(folder: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(folder, dtype="float32").eval()


@pytest.mark.parametrize("sparsity", [0.2, 0.5])
@pytest.mark.parametrize(("attention", "ffn"), TREATMENTS)
def test_every_treatment_of_every_family_gives_the_model_of_the_plain_procedure(
    family_folder: Path, windows: torch.Tensor, tmp_path: Path, attention: str, ffn: str, sparsity: float
) -> None:
    settings: dict[str, Any] = {
        "attention": attention,
        "ffn": ffn,
        "allocation": 3,
        "keep_least": 0.01,
        "sparsity": sparsity,
    }
    plain = compress_plain(dense(family_folder), windows, **settings)
    ours = load_model(compressed(family_folder, tmp_path / "out", windows, batch=5, **settings))
    unseen = torch.randint(3, 300, (4, 40), generator=torch.Generator().manual_seed(2))
    assert total_variation(ours, plain, unseen) < BOUND


@pytest.mark.parametrize("keep_least", [0, 0.1, 0.6])
def test_the_kept_bottom_is_that_of_the_plain_procedure_even_where_it_would_pass_the_end(
    tiny_folder: Path, windows: torch.Tensor, tmp_path: Path, keep_least: float
) -> None:
    settings: dict[str, Any] = {
        "attention": "none",
        "ffn": "prune",
        "allocation": 3,
        "keep_least": keep_least,
        "sparsity": 0.5,
    }
    plain = compress_plain(dense(tiny_folder), windows, **settings)
    ours = load_model(compressed(tiny_folder, tmp_path / "out", windows, **settings))
    assert total_variation(ours, plain, windows) < BOUND


def test_sparsity_zero_leaves_the_model_as_it_was(tiny_folder: Path, windows: torch.Tensor, tmp_path: Path) -> None:
    ours = load_model(compressed(tiny_folder, tmp_path / "out", windows, sparsity=0))
    assert total_variation(ours, dense(tiny_folder), windows) < 1e-6


@pytest.mark.parametrize("attention", ["svd", "awsvd", "afm"])
def test_a_real_model_on_real_text_gives_the_model_of_the_plain_procedure(
    stories: Path, tmp_path: Path, attention: str
) -> None:
    tokenizer = load_tokenizer(stories)
    calibration = draw_windows(tokenizer, pydoc_rows("calibration"), nsamples=24, seqlen=64, seed=0)
    unseen = draw_windows(tokenizer, pydoc_rows("evaluation"), nsamples=8, seqlen=64, seed=0)
    settings: dict[str, Any] = {
        "attention": attention,
        "ffn": "prune",
        "allocation": 3,
        "keep_least": 0.01,
        "sparsity": 0.5,
    }
    plain = compress_plain(dense(stories), calibration, **settings)
    ours = load_model(compressed(stories, tmp_path / "out", calibration, dtype="float32", **settings))
    assert total_variation(ours, plain, unseen) < BOUND


@pytest.mark.parametrize("sparsity", [pytest.param(0.2, marks=pytest.mark.slow), 0.5])
@pytest.mark.parametrize(("slot", "name"), PARTS)
def test_whatever_part_a_method_has_the_model_is_what_its_plan_says_within_the_budget(
    family_folder: Path, windows: torch.Tensor, tmp_path: Path, slot: str, name: str, sparsity: float
) -> None:
    spec = spec_of(sparsity, **{slot: name})
    survey = survey_for(spec.method, family_folder, windows)
    (tmp_path / "out").mkdir()
    plan = compress(spec, family_folder, windows, tmp_path / "out", CPU, quiet=True, survey=survey)
    assert plan.removed <= 1
    if slot != "repair" and name != "none":
        few = issubclass(registered("attention")[name], RemovesHeads) if slot == "attention" else False
        within = 0.125 if few else 0.04  # a tiny layer has few ranks and channels, and perhaps two heads
        assert plan.removed == pytest.approx(sparsity, abs=within)
    loaded = load_model(tmp_path / "out")
    for layer, layer_plan, shape in zip(loaded.model.layers, plan.layers, plan.shapes, strict=True):
        weights = (
            tensor.numel() for name, tensor in layer.named_parameters() if "norm" not in name and "bias" not in name
        )
        assert sum(weights) + sum(shape.sizes[bias][0] for bias in layer_plan.biases) == layer_plan.stored(shape)
    assert torch.isfinite(distributions(loaded, windows)).all()
    (tmp_path / "dense").mkdir()
    stock = spec.model_copy(update={"form": "dense"})
    if any(layer.biases for layer in plan.layers) and loaded.config.base_config().model_type != "llama":
        with pytest.raises(LorapError, match=r"has gained a bias, for which a stock .* has no place"):
            compress(stock, family_folder, windows, tmp_path / "dense", CPU, quiet=True, survey=survey)
        return
    compress(stock, family_folder, windows, tmp_path / "dense", CPU, quiet=True, survey=survey)
    assert total_variation(loaded, load_model(tmp_path / "dense"), windows) < BOUND
