"""The time model: closed forms against torch's own counts, and what grows with what."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM

from lorap.artifacts.grid_specs import compress_spec, cost_spec, redecompose_spec, suite_spec, tune_spec
from lorap.artifacts.places import jobs
from lorap.compression.planning import plan_model
from lorap.machine.factoring import factorising
from lorap.machine.layerwise import compressing, redecomposing, spectral
from lorap.machine.named import named_gpu
from lorap.machine.passes import Tokens, head_pass, layer_pass
from lorap.machine.speeds import Constant, Machine
from lorap.machine.streaming import Model, Terms
from lorap.machine.whole import measuring, timing, tuning
from lorap.model.layer_plan import LayerPlan, LayerShape
from lorap.model.sizes import dense_shape, read_raw_config, read_sizes
from lorap.settings.config import load_params
from lorap.settings.schema import Calibrate
from lorap.workflow.architectures import PUBLISHED
from tests.conftest import FAMILIES
from tests.workflow import ROOT

WINDOWS = Calibrate(corpus="bookcorpus", nsamples=128, seqlen=128)
PARAMS = load_params(ROOT / "params.yaml")


def published(name: str, **changes: Any) -> Model:
    """A model of the paper, perhaps of another size."""
    file = PUBLISHED / f"{name}.json"
    return Model(replace(read_sizes(file), **changes), dense_shape(read_raw_config(file)))


@pytest.fixture
def cpu() -> Machine:
    """A machine whose constants are round numbers."""
    gpu = named_gpu("h100")
    slower = {name: one.times(1 / 100, "a hundredth") for name, one in gpu.constants.items()}
    return gpu.model_copy(update={"device": "cpu", "cores": 2, "full_rate": False, "constants": slower})


@pytest.mark.parametrize("method", [None, "lorap", "lorap-decompose", "ffn-only"])
@pytest.mark.parametrize("family", ["llama-mha", "llama-gqa"])
def test_a_pass_is_counted_as_torch_counts_it(family: str, method: str | None) -> None:
    config = FAMILIES[family]()
    config._attn_implementation = "eager"
    planned = plan_model(config, PARAMS.methods[method or "lorap"], 0.5)
    skeleton = planned.compressed if method else planned.dense
    model = AutoModelForCausalLM.from_config(skeleton.config, attn_implementation="eager").eval()
    plan = planned.layers[0] if method else LayerPlan.dense(planned.shapes[0])
    windows, length = 3, 16
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(input_ids=torch.zeros(windows, length, dtype=torch.int64), use_cache=False)
    tokens, sizes = Tokens(windows * length, length), sizes_of(config, planned.shapes[0])
    macs = len(planned.layers) * layer_pass(plan, planned.shapes[0], tokens, 4).macs
    macs += head_pass(sizes.sizes, tokens.count, 4).macs
    assert counter.get_total_flops() == 2 * macs


def sizes_of(config: object, shape: LayerShape) -> Model:
    raw = config.to_dict()  # type: ignore[attr-defined]
    attention = sum(out * inp for name, (out, inp) in shape.sizes.items() if name[0] in "qkvo")
    sizes = replace(published("llama-7b").sizes, hidden=raw["hidden_size"], channels=shape.channels,
                    layers=raw["num_hidden_layers"], vocabulary=raw["vocab_size"], attention=attention)  # fmt: skip
    return Model(sizes, shape)


def test_gathering_statistics_stops_before_the_products_that_it_does_not_need() -> None:
    model, tokens = published("llama-7b"), Tokens(10, 5)
    whole, until_down, until_ffn = (
        layer_pass(model.dense, model.shape, tokens, 2, until).macs for until in (None, "ffn_hidden", "ffn_in")
    )
    assert whole - until_down == 10 * 4096 * 11008
    assert until_down - until_ffn == 2 * 10 * 4096 * 11008
    assert until_ffn == 10 * (4 * 4096**2 + 5 * 2 * 4096)


def seconds(machine: Machine, model: Model, windows: Calibrate = WINDOWS) -> dict[str, Terms]:
    spec, params = compress_spec(PARAMS, "lorap", 0.5), PARAMS
    plan = model.plan(spec.method, spec.sparsity)
    suite = suite_spec(
        params, params.grids["paper"], next(cell for _, cell in jobs(params.grids["paper"], params.methods))
    )
    return {
        "compress": compressing(machine, model, spec, windows),
        "truncate": redecomposing(machine, model, redecompose_spec(params, "truncated"), windows, plan, 8),
        "spectra": spectral(machine, model, windows),
        "tune": tuning(machine, model, tune_spec(params, "alpaca"), plan),
        "evaluate": measuring(machine, model, suite, plan),
        "cost": timing(machine, model, cost_spec(params), plan),
    }


def totals(machine: Machine, model: Model, windows: Calibrate = WINDOWS) -> dict[str, float]:
    return {name: sum(terms.values()) for name, terms in seconds(machine, model, windows).items()}


def test_larger_models_more_windows_and_slower_machines_take_longer(cpu: Machine) -> None:
    small, large, gpu = published("llama-7b"), published("llama-13b"), named_gpu("h100")
    for machine in (cpu, gpu):
        usual, wider = totals(machine, small), totals(machine, large)
        assert all(wider[name] > usual[name] for name in usual)
        more = totals(machine, small, WINDOWS.model_copy(update={"nsamples": 256}))
        assert all(more[name] > usual[name] for name in ("compress", "truncate", "spectra"))
        deeper = totals(machine, published("llama-7b", layers=33))
        assert all(deeper[name] > usual[name] for name in usual)
    fast, slow = (totals(named_gpu(name), small) for name in ("h100", "rtx4090"))
    assert all(slow[name] > fast[name] for name in fast)
    assert all(totals(cpu.with_cores(4), small)[name] < usual for name, usual in totals(cpu, small).items())


def test_only_what_runs_beside_other_work_is_taken_off(cpu: Machine) -> None:
    model = published("llama-7b")
    for machine in (cpu, named_gpu("h100")):
        for name, terms in seconds(machine, model).items():
            beside = terms.get("writing", 0) + (terms["reading"] if machine.gpu else 0)
            assert 0 <= -terms.get("overlap", 0) <= beside, name
            assert all(value >= 0 for term, value in terms.items() if term != "overlap"), name


def test_between_two_widths_a_constant_goes_on_a_straight_line_of_logarithms() -> None:
    constant = Constant(value={"100": 1.0, "400": 64.0}, source="")
    assert [constant.at(width, beyond=3) for width in (50, 100, 200, 400, 800)] == pytest.approx([1 / 8, 1, 8, 64, 512])
    assert constant.at(800) == 64


def test_wide_subspaces_are_products_of_blocks_on_a_gpu_alone(cpu: Machine) -> None:
    gpu, size = named_gpu("h100"), (4096, 4096)
    filtered, solved = (factorising(gpu, size, rank, full=False) for rank in (1024, 2048))
    assert filtered < gpu.solve("eigenvectors float64", 4096) / 2 < solved
    assert factorising(cpu, size, 1024, full=True) > cpu.solve("eigenvectors float64", 4096)
