"""Measures the constants of the time model on the machine at hand, in about a minute (``lorap estimate --measure``)."""

import hashlib
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Literal

import torch

from lorap.artifacts.meta import device_name
from lorap.core.factorise import count_above, has_full_rate
from lorap.machine.meter import now
from lorap.machine.named import assumed_host
from lorap.machine.passes import ACTIVATION
from lorap.machine.speeds import RATES, Constant, Machine

WIDTHS = {"cpu": (256, 512, 1024, 2048), "gpu": (1024, 2048, 4096)}
FEW = 2  # widths of the dtypes that a device may be slow in, from the smallest on
SLOW = ("float16", "bfloat16", "float64")
CHANNELS = 43  # of an FFN for 16 of the width, as in LLaMA-7B
ROWS = 2048  # of a product, as of 16 windows of 128 tokens
LEAST = 0.3  # seconds that a piece of work is repeated for
WIDE = 1024  # of a model whose activation is timed for the bytes that elementwise work moves
VALUES = 2**22  # drawn at random
FILE = 2**28  # bytes
RUNS = 5  # at least
LONG, LONG_RUNS = 5.0, 3  # seconds after which so few runs suffice: a slow solver may take as long for one
PROCESS = "import lorap.compression.run"
HARNESS = ("datasets", "lm_eval", "peft")


def measure(device: torch.device, folder: Path) -> Machine:
    """The constants of this machine.

    Args:
        device: What computes.
        folder: Where a file of a quarter of a gigabyte is written, read and removed.
    """
    here = f"measured here, torch {torch.__version__}, {torch.get_num_threads()} threads"
    widths = WIDTHS["cpu" if device.type == "cpu" else "gpu"]
    found = {name: Constant(value=value, source=here) for name, value in
             (_products(device, widths) | _solvers(device, widths) | _bytes(device, folder)).items()}  # fmt: skip
    name, assumed = device_name(str(device)), assumed_host()
    start = _process(PROCESS)
    found["start"] = Constant(value=start, source=here)
    if all(importlib.util.find_spec(module) for module in HARNESS):
        beside = max(0.1, _process(f"{PROCESS}, {', '.join(HARNESS)}") - start)
        found["start harness"] = Constant(value=beside, source=here)
    cores = torch.get_num_threads() if device.type == "cpu" else os.cpu_count() or 1
    kind: Literal["cpu", "gpu"] = "cpu" if device.type == "cpu" else "gpu"
    return Machine(name=name, device=kind, cores=cores, full_rate=has_full_rate(device), constants=assumed | found)


def _seconds(device: torch.device, work: Callable[[], object]) -> float:
    """Seconds of a piece of work, in the middle of its runs: a job has slow moments too."""
    times: list[float] = []
    while not _are_enough(times):
        started = now(device)
        work()
        times.append(now(device) - started)
    return statistics.median(times)


def _are_enough(times: list[float]) -> bool:
    return len(times) >= (LONG_RUNS if sum(times) >= LONG else RUNS) and sum(times) >= LEAST


def _products(device: torch.device, widths: Sequence[int]) -> dict[str, dict[str, float]]:
    """Multiply-accumulates a second of a product at the shape of an FFN's, by dtype and width."""
    found: dict[str, dict[str, float]] = {}
    for rate in RATES:
        dtype = getattr(torch, rate.split()[1])
        for width in widths[:FEW] if rate.split()[1] in SLOW and device.type == "cpu" else widths:
            channels = CHANNELS * width // 16  # whole vectors: odd sizes are a third slower
            inputs = torch.randn(ROWS, width, device=device).to(dtype)
            weight = torch.randn(channels, width, device=device).to(dtype)
            seconds = _seconds(device, lambda a=inputs, b=weight: torch.nn.functional.linear(a, b))  # type: ignore[misc]
            found.setdefault(rate, {})[str(width)] = ROWS * width * channels / seconds
    return found


def _solvers(device: torch.device, widths: Sequence[int]) -> dict[str, dict[str, float]]:
    """Seconds of eigenvectors and of counting eigenvalues, by width."""
    found: dict[str, dict[str, float]] = {}
    for width in widths:
        weight = torch.randn(width, width, device=device)
        gram = weight @ weight.T
        double, middle = gram.double(), gram.trace() / width
        work: dict[str, Callable[[], object]] = {
            "eigenvectors float32": lambda g=gram: torch.linalg.eigh(g),  # type: ignore[misc]
            "eigenvectors float64": lambda g=double: torch.linalg.eigh(g),  # type: ignore[misc]
            "inertia float32": lambda g=gram, m=middle: count_above(g, m),  # type: ignore[misc]
        }
        for name, one in work.items():
            found.setdefault(name, {})[str(width)] = _seconds(device, one)
    return found


def _bytes(device: torch.device, folder: Path) -> dict[str, float]:
    """Bytes a second in memory, between host and device, on the disk and through sha256; random numbers a second."""
    gate, up = (torch.randn(ROWS, CHANNELS * WIDE // 16, device=device) for _ in range(2))
    size = gate.nbytes
    found = {"move": ACTIVATION * size / _seconds(device, lambda: torch.nn.functional.silu(gate) * up)}
    found["random"] = VALUES / _seconds(torch.device("cpu"), lambda: torch.randn(VALUES))
    if device.type == "cuda":
        pinned = torch.empty_like(gate, device="cpu").pin_memory()
        found["transfer"] = size / _seconds(device, lambda: pinned.to(device))
    else:
        found["transfer"] = found["move"]
    content = os.urandom(FILE // 16) * 16
    with tempfile.TemporaryFile(dir=folder) as file:
        found["write"] = FILE / _once(lambda: _write(file, content))
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        file.seek(0)
        found["read"] = FILE / _once(file.read)
        file.seek(0)
        found["hash"] = FILE / _once(lambda: hashlib.file_digest(file, "sha256"))
    return found


def _write(file: BinaryIO, content: bytes) -> None:
    file.write(content)
    file.flush()
    os.fdatasync(file.fileno())


def _once(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _process(code: str) -> float:
    """Seconds of a process that imports something, once what it reads is in memory."""
    runs = [_once(lambda: subprocess.run([sys.executable, "-c", code], check=True)) for _ in range(2)]
    return runs[-1]
