"""The path of a GPU on a device that is only a name: the CPU's bytes, no mixed devices, few waits, little memory."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from lorap.artifacts.specs import CompressSpec
from lorap.compression.run import compress
from lorap.machine import needs
from lorap.machine.streaming import read_model
from lorap.methods.registry import SLOTS, registered
from lorap.settings.config import load_params
from lorap.settings.schema import Calibrate
from tests.compare import method_of, survey_for
from tests.pretended import Pretended, pretended
from tests.workflow import ROOT

pytestmark = pytest.mark.thorough

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
WAITS_A_LAYER = 35  # of the host for the device, whatever the number of windows

PARAMS = load_params(ROOT / "params.yaml")
PLUS, SURGEON = PARAMS.methods["lorap-plus"], PARAMS.methods["plus-only-obs"].ffn
RIVALS = list(PARAMS.methods)[list(PARAMS.methods).index("magnitude-sp") :]


WAYS: dict[str, dict[str, Any]] = {
    **{f"{name}": {"attention": name} for name in registered("attention")},
    **{f"{name}": {"ffn": name} for name in registered("ffn") if name != "none"},
    **{f"{name}": {"repair": name} for name in registered("repair")},
    **{f"{name}": {"share": name} for name in registered("share")},
    **{name: {"method": PARAMS.methods[name]} for name in ("lorap-plus", "lorap-fast")},
    "lorap-plus with obs": {"method": PLUS.model_copy(update={"ffn": SURGEON})},
    "afm-decompose": {"attention": "afm", "ffn": "decompose"},
    **{f"{name} of params.yaml": {"method": PARAMS.methods[name]} for name in RIVALS},
    "dense form": {"form": "dense"},
    "offload": {"offload": True},
    "offload to the disk": {"repair": "refit", "offload": "disk"},
    "offload of what gradients want": {"method": PARAMS.methods["llm-pruner"], "offload": "disk"},
    "bfloat16": {"dtype": "bfloat16"},
    "float16": {"dtype": "float16"},
}


def spec_of(**changes: Any) -> CompressSpec:
    parts = {name: changes.pop(name) for name in SLOTS if name in changes}
    usual: dict[str, Any] = {"sparsity": 0.5, "form": "factored", "dtype": "auto", "batch": 5, "offload": False}
    return CompressSpec(**(usual | {"method": method_of(**parts)} | changes))


def small(model: Path, out: Path, windows: Tensor, device: torch.device = CPU, **changes: Any) -> Path:
    out.mkdir()
    spec = spec_of(**changes)
    survey = survey_for(spec.method, model, windows, device)
    compress(spec, model, windows, out, device, quiet=True, survey=survey)
    return out


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


@contextmanager
def cpu_as_pretended() -> Iterator[None]:
    """The CPU with the kernel of attention that a device without a fused one gets."""
    with sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        yield


def both(work: Callable[[torch.device], Any], kind: str = "cuda") -> tuple[Any, Any, Pretended]:
    """What a piece of work makes on the CPU and on a pretended device, and that device."""
    with cpu_as_pretended():
        expected = work(CPU)
    with pretended(kind) as device:
        found = work(torch.device(kind))
    assert device.peak, "nothing was on the device"
    return expected, found, device


def require_the_bytes_of_the_cpu(model: Path, windows: Tensor, place: Path, kind: str = "cuda", **changes: Any) -> None:
    place.mkdir()
    made = both(lambda device: weights(small(model, place / device.type, windows, device, **changes)), kind)
    assert made[0] == made[1]


def require_few_waits(model: Path, windows: Tensor, place: Path, **changes: Any) -> None:
    """Not once a batch: what the windows do must stay queued."""
    place.mkdir()
    counts = []
    for number, ids in enumerate((windows, windows.repeat(4, 1))):
        with pretended() as cuda:
            small(model, place / str(number), ids, CUDA, **changes)
        counts.append(sum(cuda.waits.values()))
    assert counts[0] == counts[1] < WAITS_A_LAYER * 3


def require_no_more_memory_than_asked_for(model: Path, windows: Tensor, place: Path, **changes: Any) -> None:
    with pretended() as cuda:
        small(model, place, windows, CUDA, **changes)
    drawn = Calibrate(corpus="file", nsamples=windows.shape[0], seqlen=windows.shape[1])
    asked = needs.compress(read_model(model / "config.json"), spec_of(**changes), drawn)
    assert 0.3 * asked.device < cuda.peak < asked.device + asked.host - needs.LIBRARIES, (cuda.peak, asked.device)


def test_devices_may_not_be_mixed() -> None:
    with pretended() as cuda:
        there = torch.ones(3, 3, device="cuda")
        wrongs: list[Callable[[], Any]] = [
            lambda: there @ torch.ones(3, 3),
            lambda: torch.ones(3).add_(there[0]),
            lambda: torch.zeros(3)[there[0].long()],
        ]
        for wrong in wrongs:
            with pytest.raises(RuntimeError, match="expected all tensors on one device"):
                wrong()
        assert float((there * torch.tensor(2.0))[torch.tensor([0])].sum()) == 6
        assert cuda.waits == {"_local_scalar_dense": 1}


def test_compression_on_a_gpu_makes_the_bytes_of_the_cpu(family_folder: Path, windows: Tensor, tmp_path: Path) -> None:
    require_the_bytes_of_the_cpu(family_folder, windows, tmp_path / "both")


@pytest.mark.parametrize("changes", WAYS.values(), ids=WAYS)
def test_so_does_every_registered_part_and_every_setting(
    tiny_folder: Path, windows: Tensor, tmp_path: Path, changes: dict[str, Any]
) -> None:
    require_the_bytes_of_the_cpu(tiny_folder, windows, tmp_path / "both", **changes)


@pytest.mark.parametrize("changes", [{}, {"attention": "afm", "ffn": "decompose"}], ids=["lorap", "afm"])
def test_a_device_without_float64_sums_and_solves_on_the_cpu(
    tiny_folder: Path, windows: Tensor, tmp_path: Path, changes: dict[str, Any]
) -> None:
    require_the_bytes_of_the_cpu(tiny_folder, windows, tmp_path / "both", "mps", **changes)


@pytest.mark.parametrize("name", ["lorap", "wanda-sp", "flap-as-written", "llm-pruner", "svd-llm"])
def test_the_host_waits_for_the_gpu_a_bounded_number_of_times_a_layer(
    tiny_folder: Path, windows: Tensor, tmp_path: Path, name: str
) -> None:
    require_few_waits(tiny_folder, windows, tmp_path / "waits", method=PARAMS.methods[name])


@pytest.mark.parametrize(
    ("attention", "ffn"), [("awsvd", "prune"), ("afm", "prune"), ("afm", "decompose"), ("joint-qk", "obs")]
)
def test_no_more_memory_than_a_job_asks_for(
    tiny_folder: Path, windows: Tensor, tmp_path: Path, attention: str, ffn: str
) -> None:
    require_no_more_memory_than_asked_for(tiny_folder, windows, tmp_path / "small", attention=attention, ffn=ffn)


@pytest.mark.parametrize("name", RIVALS)
def test_nor_do_the_rivals(tiny_folder: Path, windows: Tensor, tmp_path: Path, name: str) -> None:
    require_no_more_memory_than_asked_for(tiny_folder, windows, tmp_path / "small", method=PARAMS.methods[name])
