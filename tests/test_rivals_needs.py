"""What the methods of params.yaml take: products against torch's own count, and memory for a layer at a time."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from lorap.artifacts.grid_specs import compress_spec
from lorap.artifacts.specs import CompressSpec
from lorap.compression.run import compress
from lorap.machine import needs
from lorap.machine.layerwise import compressing
from lorap.machine.named import named_gpu
from lorap.machine.passes import backward_bytes
from lorap.machine.speeds import RATES, TIMES, Constant, Machine
from lorap.machine.streaming import Model, read_model
from lorap.settings.config import load_params
from lorap.settings.schema import Calibrate
from lorap.workflow.architectures import PUBLISHED
from tests.compare import CPU
from tests.workflow import ROOT

pytestmark = pytest.mark.thorough

PARAMS = load_params(ROOT / "params.yaml")
SLOW, FREE = 1.0, 1e30
WINDOWS = Calibrate(corpus="bookcorpus", nsamples=128, seqlen=128)
MODEL_7B = read_model(PUBLISHED / "llama-7b.json")


class Products(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts as torch's FlopCounterMode does, whose hooks on modules refuse ``torch.autograd.grad``."""

    total = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if count := flop_registry.get(func.overloadpacket):
            self.total += count(*args, **(kwargs or {}), out_val=out) / 2
        return out


@pytest.fixture
def counting() -> Machine:
    """A machine on which a product takes a second, and nothing else any time, so that seconds are products."""
    constants = {
        name: Constant(value=SLOW if name in RATES else 1 / FREE if name in TIMES else FREE, source="")
        for name in named_gpu("h100").constants
    }
    return Machine(name="counting", device="cpu", cores=1, full_rate=False, constants=constants)


def spec_of(method: str, /, **changes: object) -> CompressSpec:
    return compress_spec(PARAMS, method, 0.5).model_copy(update=changes)


def work(method: str, windows: Calibrate = WINDOWS) -> float:
    return needs.compress(MODEL_7B, spec_of(method), windows).work


@pytest.mark.parametrize("method", ["olica", "slimllm-ffn"])
def test_products_between_the_passes_are_counted_too(
    tiny_folder: Path, windows: Tensor, tmp_path: Path, counting: Machine, method: str
) -> None:
    """And no others but those that stand for finding eigenvectors."""
    spec, model = spec_of(method), read_model(tiny_folder / "config.json")
    with Products() as counter, sdpa_kernel(SDPBackend.MATH):  # type: ignore[no-untyped-call]
        compress(spec, tiny_folder, windows[:4], tmp_path, CPU, quiet=True)
    drawn = Calibrate(corpus="file", nsamples=4, seqlen=windows.shape[1])
    assert 1 <= sum(compressing(counting, model, spec, drawn).values()) / counter.total <= 1.1


@pytest.mark.parametrize(
    "method", ["magnitude-sp", "wanda-sp-published", "flap", "flap-as-written", "llm-pruner", "llm-pruner-published"]
)
@pytest.mark.parametrize("calibrated", [4, 12], ids=["few windows", "more than are drawn"])
def test_every_pass_is_counted(
    tiny_folder: Path, windows: Tensor, tmp_path: Path, counting: Machine, method: str, calibrated: int
) -> None:
    """Those of the sweep, of gradients and of the compression; beside them these methods hardly multiply matrices."""
    spec, model = spec_of(method), read_model(tiny_folder / "config.json")
    with Products() as counter, sdpa_kernel(SDPBackend.MATH):  # type: ignore[no-untyped-call]
        compress(spec, tiny_folder, windows[:calibrated], tmp_path, CPU, quiet=True)
    drawn = Calibrate(corpus="file", nsamples=calibrated, seqlen=windows.shape[1])
    expected = sum(compressing(counting, model, spec, drawn).values())
    assert counter.total == pytest.approx(expected, abs=1e5), "a layer's pass takes millions"
    assert needs.compress(model, spec, drawn).work >= round(0.9 * expected), (
        "asked for, but for the products of attention"
    )


@pytest.mark.parametrize("method", PARAMS.methods)
def test_every_method_takes_longer_with_more_windows_and_layers_and_never_less_than_nothing(method: str) -> None:
    deeper = Model(replace(MODEL_7B.sizes, layers=40), MODEL_7B.shape)
    for machine in (named_gpu("h100"), named_gpu("h100").model_copy(update={"device": "cpu", "full_rate": False})):
        terms = compressing(machine, MODEL_7B, spec_of(method), WINDOWS)
        assert all(seconds >= 0 for name, seconds in terms.items() if name != "overlap")
        more = compressing(machine, MODEL_7B, spec_of(method), WINDOWS.model_copy(update={"nsamples": 256}))
        assert all(more[name] >= seconds for name, seconds in terms.items() if name != "overlap")
        longer = compressing(machine, deeper, spec_of(method), WINDOWS)
        assert sum(longer.values()) > sum(terms.values())


@pytest.mark.parametrize("method", PARAMS.methods)
def test_memory_is_that_of_a_layer_whatever_the_method(method: str) -> None:
    """Of a random model of 3 billion parameters; only the inputs of the windows that gradients want grow with depth."""
    sizes = replace(MODEL_7B.sizes, hidden=3200, channels=8640, layers=26, attention=4 * 3200**2)
    narrower = {4096: 3200, 11008: 8640}
    linears = {name: (narrower[out], narrower[inp]) for name, (out, inp) in MODEL_7B.shape.sizes.items()}
    model = Model(sizes, replace(MODEL_7B.shape, sizes=linears, head_dim=100))
    deeper = Model(replace(sizes, layers=27), model.shape)
    asked, more = (needs.compress(one, spec_of(method), WINDOWS).device for one in (model, deeper))
    inputs = 2 * 128 * 3200 * PARAMS.methods[method].gradients
    assert more - asked in (0, inputs)
    assert asked < 4 * sizes.parameters, "gradients of the whole model in float32"


def test_gradients_are_asked_for_one_layer_at_a_time() -> None:
    """The backward pass takes no more than twice a layer's activations of these windows, and a layer's gradients."""
    layer, inputs, largest = 4 * 4096**2 + 3 * 4096 * 11008, 2 * 128 * 128 * 4096, 4096 * 11008
    drawn, a_token = inputs * 10 // 128, 2 * (14 * 4096 + 6 * 11008)
    one_pass = 128 * ((8 * 4096 + 3 * 11008) * 2 + 8 * 11008)
    backwards = backward_bytes(MODEL_7B.sizes, 128, 2, squared=False)
    assert backwards == 4 * layer + 2 * largest + 128 * a_token + one_pass
    assert 33 * drawn + backwards <= 2 * 1280 * a_token + 4 * layer
    assert backward_bytes(MODEL_7B.sizes, 128, 2, squared=True) - backwards == 4 * layer + 8 * largest
    for estimate, sums in (("element1", 4), ("mixed", 8)):
        method = PARAMS.methods["llm-pruner"].overridden({"estimate": estimate})
        need = needs.compress(MODEL_7B, spec_of("llm-pruner", method=method), WINDOWS)
        assert need.device == 2 * layer + inputs + 33 * drawn + sums * layer + 18 * largest, "while units are scored"
        there = needs.compress(MODEL_7B, spec_of("llm-pruner", method=method, offload=True), WINDOWS)
        assert need.device - there.device == there.host - need.host == inputs + 32 * drawn, "but for what flows back"


def test_who_sweeps_and_who_does_not() -> None:
    layers = 32 * 128 * 128 * MODEL_7B.sizes.layer  # the products of all windows in all layers
    head = 3 * 10 * 128 * 32000 * 4096
    assert work("magnitude-sp") == 0, "nobody measures anything, so nothing passes"
    assert work("wanda-sp") == 2 * layers
    assert work("flap") == layers, "which are scored on the way"
    assert work("llm-pruner") == layers * 40 / 128 + head, "the other windows have nothing to say"
    moments = 32 * 128 * 128 * (3 * 4096**2 + 11008**2) * 9 / 16
    assert work("svd-llm") == 2 * layers + moments, "the dense model alone passes"
    for rival in ("wanda-sp", "flap"):
        assert work(f"{rival}+refit") > work(rival) + layers
