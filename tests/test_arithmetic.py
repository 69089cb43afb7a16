"""What `auto` means, and that float32 is float32 whatever the environment says."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lorap.api.devices import automatic, on_device
from lorap.core import factorise
from tests.pretended import pretended
from tests.test_factorise import excess, normal

TF32 = {"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1"}
PINNED = """
import torch
from lorap.api.devices import on_device
before = torch.get_float32_matmul_precision(), torch.backends.cuda.matmul.allow_tf32
with on_device("cpu", ""):
    print(*before, torch.get_float32_matmul_precision(), torch.backends.cuda.matmul.allow_tf32)
"""


def test_tensor_float_32_is_switched_off_though_the_environment_switches_it_on() -> None:
    root = {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", PINNED], env=TF32 | root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["high", "True", "highest", "False"]


def test_a_gpu_computes_by_deterministic_kernels_and_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        with pretended(), on_device("cuda", ""):
            assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
    told = capsys.readouterr().err
    assert told == "lorap: computes on cuda (pretended), float32 without TensorFloat-32\n"


def test_auto_is_what_the_variable_says_else_the_gpu_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORAP_DEVICE", "cuda:3")
    assert automatic() == "cuda:3"
    monkeypatch.delenv("LORAP_DEVICE")
    with pretended():
        assert automatic() == "cuda"
        monkeypatch.setenv("LOCAL_RANK", "1")
        assert automatic() == "cuda:1"
    with pretended("none"):
        assert automatic() == "cpu"


@pytest.mark.parametrize("failures", [1, 2])
def test_a_solver_that_gives_up_is_followed_by_a_better_one(monkeypatch: pytest.MonkeyPatch, failures: int) -> None:
    solve, asked = torch.linalg.eigh, []

    def gives_up(gram: torch.Tensor) -> object:
        asked.append((gram.dtype, gram.device.type))
        if len(asked) <= failures:
            raise torch.linalg.LinAlgError("did not converge")  # type: ignore[attr-defined]
        return solve(gram)

    monkeypatch.setattr(torch.linalg, "eigh", gives_up)
    gram = normal(8, 8)
    with pretended():
        values, vectors = factorise.eigenvectors((gram @ gram.T).to("cuda"))
        assert values.device.type == vectors.device.type == "cuda"
        assert values.dtype is torch.float32
    assert asked == [(torch.float32, "cuda"), (torch.float64, "cuda"), (torch.float64, "cpu")][: failures + 1]


@pytest.mark.parametrize(("rank", "blurred"), [(20, False), (60, True)])
def test_what_float32_cannot_resolve_is_told_before_it_is_solved(rank: int, blurred: bool) -> None:
    weight = torch.diag(torch.logspace(0, -1.3, 64))
    count = int((weight.diagonal().square() > factorise.FLOAT32_RESOLVES).sum())
    gram = weight @ weight.T
    assert factorise.count_above(gram, torch.tensor(factorise.FLOAT32_RESOLVES)) == count
    assert factorise.is_blurred(weight, rank, None) == blurred == (count < rank)
    assert excess(weight, rank, None) < 1e-6
