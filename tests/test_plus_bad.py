"""What lorap-plus refuses, and what it warns of: settings, surveys and calibrations that do not fit."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch import Tensor

import lorap
from lorap.artifacts.specs import SurveySpec
from lorap.compression.planning import allot
from lorap.compression.surveying import survey_model
from lorap.errors import LorapError
from lorap.model.family import layer_shapes
from lorap.model.folder import read_config, skeleton
from lorap.settings.method import Method
from lorap.settings.schema import Survey
from tests.compare import CPU, RUN

PARTS = {"attention": "narrow-heads", "qk": "none", "ffn": "obs", "repair": "refit"}


def test_a_survey_of_another_model_or_calibration_is_refused(work: Path) -> None:
    lorap.survey("model", "c.safetensors", "survey.safetensors", quiet=True)
    other = lorap.calibrate("model", "other.safetensors", text="book.txt", nsamples=3, seqlen=8, seed=5)
    shutil.copytree("model", "copy")
    config = json.loads(Path("copy/config.json").read_text())
    Path("copy/config.json").write_text(json.dumps(config | {"rms_norm_eps": 1e-3}))
    wanted: dict[str, Any] = {"sparsity": 0.3, "method": "lorap-plus", "quiet": True}
    lorap.compress("model", "c.safetensors", "small", survey="survey.safetensors", **wanted)
    for model, calibration, told in (
        ("model", other, "calibration than other"),
        ("copy", "c.safetensors", "model than copy"),
    ):
        with pytest.raises(LorapError, match=f"survey.safetensors: is a survey of another {told}"):
            lorap.compress(model, calibration, "refused", survey="survey.safetensors", **wanted)
    with pytest.raises(LorapError, match="is a survey of another model than copy"):
        lorap.plan("copy", survey="survey.safetensors", **wanted)
    assert lorap.plan("model/config.json", survey="survey.safetensors", **wanted).removed >= 0.3
    deeper = config | {"num_hidden_layers": 4, "layer_types": None}
    Path("copy/config.json").write_text(json.dumps(deeper))
    with pytest.raises(LorapError, match="survey: is of 3 layers, the model has 4; run 'lorap survey' with it"):
        lorap.plan("copy/config.json", survey="survey.safetensors", **wanted)
    with pytest.raises(LorapError, match=r"share water-filling: has to know the model's layers, give --survey FILE"):
        lorap.compress("model", "c.safetensors", "refused", **wanted)
    assert not Path("refused").exists()


def test_left_factors_beside_a_shared_right_factor_are_refused(work: Path) -> None:
    method = {"attention": "joint-qk", "ffn": "prune", "repair": "left-factors"}
    with pytest.raises(LorapError, match="repair left-factors: needs factors of their own, which joint-qk has not"):
        lorap.compress("model", "c.safetensors", "refused", method=method, sparsity=0.5, quiet=True)
    assert not Path("refused").exists()


def test_too_few_tokens_are_told_once_for_each_moment_and_the_ridge_carries_it(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = lorap.calibrate("model", "few.safetensors", text="book.txt", nsamples=3, seqlen=8)
    lorap.compress("model", few, "small", sparsity=0.3, method=PARTS, quiet=True)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(", which has ")[::2] for line in lines] == [
        (f"lorap: warning: 24 calibration tokens for the second moment of {name}",
         f"{width} features: too few to tell these apart; calibrate on more windows")
        for name, width in (("attention_out", 64), ("ffn_hidden", 96))
    ]  # fmt: skip
    lorap.compress("model", few, "floored", sparsity=0.3, method=PARTS, ridge=0, quiet=True)
    told = [line for line in capsys.readouterr().err.splitlines() if "positive definite" in line]
    assert told == [
        f"lorap: warning: layer {index}: not positive definite with ridge 0: the second moment of attention_out, "
        "ffn_hidden; solved above 1e-06 of its largest eigenvalue; raise ridge, or calibrate on more windows"
        for index in range(3)
    ]
    assert all(tensor.isfinite().all() for tensor in load_file("floored/model.safetensors").values())
    with pytest.raises(LorapError, match=r"^layer 0: the second moment of ffn_hidden .* with selection_ridge 1e-12; "):
        lorap.compress("model", few, "refused", sparsity=0.3, method=PARTS, selection_ridge=1e-12, quiet=True)
    assert not Path("refused").exists()


def test_a_survey_that_cannot_solve_for_channels_names_layer_and_input(tiny_folder: Path, windows: Tensor) -> None:
    run = {name: value for name, value in RUN.items() if name != "form"}
    spec = SurveySpec(survey=Survey(selection_ridge=1e-12), **run)
    with pytest.raises(LorapError, match=r"^layer 0: the second moment of ffn_hidden .* with selection_ridge 1e-12; "):
        survey_model(spec, tiny_folder, windows[:1], CPU, quiet=True)


def test_a_method_without_channels_to_count_has_no_refit(tiny_folder: Path) -> None:
    method = Method.model_validate({"attention": "awsvd", "ffn": "decompose", "repair": "refit"})
    with pytest.raises(LorapError, match="repair refit: needs an ffn treatment that removes channels"):
        allot(method, layer_shapes(skeleton(read_config(tiny_folder))), 0.5, ())
