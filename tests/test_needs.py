"""What jobs ask of a machine: closed forms, checked against numbers worked out by hand and against real processes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

from lorap.artifacts.grid import Cell
from lorap.artifacts.grid_specs import compress_spec, cost_spec, fetch_spec, suite_spec, survey_spec, tune_spec
from lorap.artifacts.specs import CompressSpec
from lorap.errors import LorapError
from lorap.machine import needs
from lorap.machine.streaming import read_model
from lorap.model.family import decoder_layers
from lorap.model.sizes import Sizes, read_sizes
from lorap.settings.config import load_params
from lorap.settings.method import Method
from lorap.settings.schema import Calibrate, Params
from lorap.workflow.architectures import PUBLISHED
from tests.conftest import FAMILIES
from tests.workflow import ROOT, Checkout, make_checkout

pytestmark = pytest.mark.thorough

LLAMA_7B = Sizes(
    hidden=4096, channels=11008, layers=32, vocabulary=32000, attention=4 * 4096**2, tied=False, dtype="float16"
)
MODEL_7B = read_model(PUBLISHED / "llama-7b.json")
# Runs a command and prints its peak in KiB; a process that pytest starts itself would be counted with pytest's own.
MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
WINDOWS = Calibrate(corpus="bookcorpus", nsamples=128, seqlen=128)


@pytest.fixture(scope="module")
def params() -> Params:
    return load_params(ROOT / "params.yaml")


def compressing(params: Params, method: str = "lorap", **changes: object) -> CompressSpec:
    return compress_spec(params, method, 0.5).model_copy(update=changes)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_sizes_of_a_model_are_those_of_its_weights(family: str, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_config(FAMILIES[family]())
    model.config.save_pretrained(tmp_path)
    shape = read_sizes(tmp_path / "config.json")
    layer = sum(p.numel() for p in decoder_layers(model)[0].parameters() if p.dim() == 2)
    assert shape.layer == layer
    assert shape.parameters == sum(p.numel() for p in model.parameters() if p.dim() == 2)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"hidden_size": 64, "num_attention_heads": 4}, "intermediate_size: missing"),
        ({"dtype": "float64"}, "dtype is 'float64', expected one of float32, float16, bfloat16"),
        ([], r"not a usable configuration \(no JSON object\)"),
        ({"hidden_size": "64"}, "hidden_size: got '64', expected a whole number of at least 1"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers: got 1000000000, expected at most 1000"),
    ],
)
def test_a_config_that_tells_too_little_is_named(tmp_path: Path, content: Any, told: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(LorapError, match=f"config.json: {told}"):
        read_sizes(tmp_path / "config.json")


def test_compressing_7b_takes_a_layer_not_the_model_where_it_computes(params: Params) -> None:
    need = needs.compress(MODEL_7B, compressing(params), WINDOWS)
    weights = 2 * 2 * (4 * 4096**2 + 3 * 4096 * 11008)  # a layer before and after, two bytes each
    inputs = 2 * 128 * 128 * 4096
    eigenvectors = 60 * 4096**2
    assert need.device == weights + inputs + eigenvectors == 1_950_351_360
    mapped = 2 * (32 * (4 * 4096**2 + 3 * 4096 * 11008) + 2 * 32000 * 4096)
    assert need.host == needs.LIBRARIES + mapped + 2 * 32000 * 4096
    assert need.memory(gpu=False) == 18_530  # MiB, of which the mapped weights are 12,852 before the margin
    assert need.memory(gpu=True) == 19_985


def test_more_windows_a_larger_batch_and_a_larger_model_need_more(params: Params) -> None:
    spec = compressing(params)
    larger = read_model(PUBLISHED / "llama-13b.json")
    once = needs.compress(MODEL_7B, spec, WINDOWS)
    windows = needs.compress(MODEL_7B, spec, WINDOWS.model_copy(update={"nsamples": 256}))
    batch = needs.compress(MODEL_7B, compressing(params, batch=128), WINDOWS)
    precise = needs.compress(MODEL_7B, compressing(params, dtype="float32"), WINDOWS)
    decomposed = needs.compress(MODEL_7B, compressing(params, "lorap-decompose"), WINDOWS)
    assert windows.device - once.device == 2 * 128 * 128 * 4096
    for more in (windows, batch, precise, decomposed, needs.compress(larger, spec, WINDOWS)):
        assert more.memory(gpu=False) > once.memory(gpu=False)
    assert windows.minutes(gpu=False, cores=2) > once.minutes(gpu=False, cores=2) > once.minutes(gpu=True, cores=2)


def test_time_is_asked_for_what_is_solved_beside_the_passes(params: Params) -> None:
    double = WINDOWS.model_copy(update={"nsamples": 256})

    def work(method: Method, windows: Calibrate) -> float:
        return needs.compress(MODEL_7B, compressing(params).model_copy(update={"method": method}), windows).work

    def solved(method: Method) -> float:
        return 2 * work(method, WINDOWS) - work(method, double)

    lorap, plus, obs = (params.methods[name] for name in ("lorap", "lorap-plus", "plus-only-obs"))
    layer, tokens = LLAMA_7B.layer, 128 * 128
    assert work(lorap, WINDOWS) == 32 * tokens * 2 * layer, "one pass for statistics, one for the next layer's inputs"
    assert work(plus, double) - work(plus, WINDOWS) > 32 * tokens * 5 * layer
    inverse, removals = 11008**3, 11008**3 / 3
    assert solved(plus) > 32 * (11008**3 / 6 + 4096**3 / 3), "Cholesky factors of what down, o and v read"
    assert solved(plus.model_copy(update={"ffn": obs.ffn})) > solved(obs) > 32 * (inverse + removals)
    asked = [needs.survey(MODEL_7B, survey_spec(params), windows).work for windows in (WINDOWS, double)]
    assert 2 * asked[0] - asked[1] > 32 * (inverse + removals)


def test_a_survey_of_some_windows_asks_for_what_these_take(params: Params) -> None:
    some = params.model_copy(update={"survey": params.survey.model_copy(update={"windows": 32})})
    few = WINDOWS.model_copy(update={"nsamples": 32})
    assert needs.survey(MODEL_7B, survey_spec(some), WINDOWS) == needs.survey(MODEL_7B, survey_spec(params), few)
    assert needs.survey(MODEL_7B, survey_spec(some), few) == needs.survey(MODEL_7B, survey_spec(params), few)


def test_offloading_moves_the_inputs_to_the_host(params: Params) -> None:
    there = needs.compress(MODEL_7B, compressing(params), WINDOWS)
    here = needs.compress(MODEL_7B, compressing(params, offload=True), WINDOWS)
    inputs = 2 * 128 * 128 * 4096
    assert (here.host - there.host, there.device - here.device) == (inputs, inputs)
    assert here.memory(gpu=False) == there.memory(gpu=False)
    disk = needs.compress(MODEL_7B, compressing(params, offload="disk"), WINDOWS)
    assert (disk.host, disk.device) == (there.host, here.device), "the system can take its pages back"


def test_tuning_and_measuring_hold_the_whole_model(params: Params) -> None:
    tune = tune_spec(params, "alpaca")
    frugal = tune.model_copy(update={"tune": tune.tune.model_copy(update={"gradient_checkpointing": True})})
    suite = suite_spec(params, params.grids["paper"], Cell("llama-7b"))
    model = 2 * LLAMA_7B.parameters
    assert needs.tune(LLAMA_7B, tune).device > needs.tune(LLAMA_7B, frugal).device > model
    assert needs.evaluate(LLAMA_7B, suite).device > model + 2 * 8 * 2048 * 32000  # logits of a batch of windows
    once = cost_spec(params)
    some = once.model_copy(update={"cost": once.cost.model_copy(update={"batches": [1]})})
    assert needs.cost(LLAMA_7B, once).device > needs.cost(LLAMA_7B, some).device > model
    assert needs.cost(LLAMA_7B, once).work == 9 * needs.cost(LLAMA_7B, some).work, "batches of 1 and of 8"
    text = suite.model_copy(update={"zeroshot": None})
    assert needs.evaluate(LLAMA_7B, text).work < needs.evaluate(LLAMA_7B, suite).work


def test_a_gguf_file_says_itself_what_unpacking_it_takes(params: Params, tmp_path: Path) -> None:
    changed = params.model_dump()
    changed["models"]["own"] = {"source": "gguf", "path": str(tmp_path / "own.gguf")}
    source = fetch_spec(Params.model_validate(changed), "own").model
    assert needs.fetch(source).host == needs.LIBRARIES, "the job says that it is missing"
    (tmp_path / "own.gguf").write_bytes(b"0" * 10**6)
    assert needs.fetch(source).host == needs.LIBRARIES + 6 * 10**6


def test_no_torch_is_needed_to_tell() -> None:
    code = "import sys, lorap.machine.needs; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.system
def test_a_compression_stays_within_what_it_asked_for(tmp_path: Path, params: Params, windows: torch.Tensor) -> None:
    """A model of 110 MB, most of them embeddings, so that the bound is more than the libraries."""
    config = FAMILIES["llama-gqa"]()
    config.vocab_size, config.hidden_size, config.head_dim = 50_000, 512, 128
    config.intermediate_size, config.num_hidden_layers = 1024, 2
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "model")
    save_file({"input_ids": windows}, tmp_path / "c.safetensors")
    spec = compressing(params)
    drawn = Calibrate(corpus="pydoc", nsamples=windows.shape[0], seqlen=windows.shape[1])
    asked = needs.compress(read_model(tmp_path / "model/config.json"), spec, drawn).memory(gpu=False)
    command = ["compress", "--spec", spec.canonical(), "--model", "model", "--calibration", "c.safetensors"]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, sys.executable, "-m", "lorap", *command, "--out", "small"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        check=True,
    )
    assert 0.3 < int(done.stdout) / 1024 / asked < 1


@pytest.mark.system
def test_rules_ask_for_what_the_settings_say(tmp_path: Path, tiny_folder: Path) -> None:
    checkout = make_checkout(tmp_path / "checkout", tiny_folder)
    assert "mem_mb=<TBD>" in resources_of(checkout, "compress"), "the model is not there yet"
    (checkout.folder / "results/demo/models/tiny").mkdir(parents=True)
    (checkout.folder / "results/demo/models/tiny/config.json").write_bytes((tiny_folder / "config.json").read_bytes())
    params = load_params(checkout.folder / "params.yaml")
    model, windows = read_model(tiny_folder / "config.json"), params.calibrate["pydoc-4x16"]
    need = needs.compress(model, compress_spec(params, "lorap", 0.5), windows)
    asked = resources_of(checkout, "compress")
    gpu = "gpu=1" in asked
    assert f"mem_mb={need.memory(gpu)}," in asked
    assert f"runtime={need.minutes(gpu, 1)}" in asked


def resources_of(checkout: Checkout, rule: str) -> str:
    """What the plan says of the resources of the first job of a rule."""
    printed = checkout.run("snakemake", "-n", "--cores", "2", "--quiet", "host")
    job = printed.split(f"\nrule {rule}:")[1]
    return next(line for line in job.splitlines() if line.strip().startswith("resources:"))
