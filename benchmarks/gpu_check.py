"""The first run on a GPU: does everything work, is it right, how long does it take? A report to send in.

    python -m benchmarks.gpu_check --out gpu-check.md        (or: make gpu-check)

A random LLaMA of the 7B's widths with four layers is compressed on the GPU and on the CPU, compared, tuned in float16
and bfloat16 and measured, and so are the constants of the time model; ten minutes on a GPU with 16 GB. Without a GPU
the CPU takes its place, and the model is smaller.
"""

import argparse
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.constants import entry, host_figures, llama_7b
from benchmarks.random_model import TOKENS, llama, write_random_model
from lorap.core.factorise import in_float64, output_gram
from lorap.core.subspace import filtered_subspace
from lorap.errors import LorapError
from lorap.files import read_json
from lorap.machine.meter import now
from lorap.machine.speeds import Machine, read_machine
from lorap.model.folder import load_model

LARGE = {"hidden": 4096, "channels": 11008, "layers": 4, "heads": 32}
SMALL = {"hidden": 512, "channels": 1376, "layers": 2, "heads": 8}
SPARSITY, NSAMPLES, WINDOWS = 0.5, 16, 8
SAME = 1e-3  # total variation of next-token distributions of two compressions of one model, in float32
STEPS = 4
MACHINE = "machine.json"
Finding = tuple[str, str, str]  # what was checked, whether it is well, figures


class Check:
    """The checks in one folder, on one device; each adds a line to the report."""

    def __init__(self, folder: Path, device: str) -> None:
        self.folder, self.device = folder, device
        self.findings: list[Finding] = []

    def lorap(self, *arguments: object) -> float:
        """Runs a command of lorap in the folder; returns its seconds."""
        started = time.monotonic()
        command = [sys.executable, "-m", "lorap", *map(str, arguments)]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])
        return time.monotonic() - started

    def check(self, what: str, work: Callable[[], str]) -> None:
        """Adds a finding: the figures that the work returns, or what went wrong; the others go on."""
        print(f"{what} ...", file=sys.stderr, flush=True)
        try:
            self.findings.append((what, "ok", work()))
        except (RuntimeError, OSError, LorapError) as error:
            self.findings.append((what, "FAILED", str(error).splitlines()[0]))

    def compress(self, device: str, dtype: str) -> str:
        """Compresses the model on a device."""
        files = ("--model", "dense", "--calibration", "c.safetensors", "--out", f"{device}-{dtype}")
        took = self.lorap("compress", *files, "--sparsity", SPARSITY, "--dtype", dtype, "--device", device)
        return f"{took:.0f} s"

    def agree(self) -> str:
        """Compares what the two devices made of the model, by the next-token distributions of both."""
        mine, cpu = (self._distributions(f"{device}-float32") for device in (self.device, "cpu"))
        variation = float((mine - cpu).abs().sum(-1).mean() / 2)
        if variation > SAME:
            raise RuntimeError(f"mean total variation {variation:.1e}, expected at most {SAME:.0e}")
        return f"mean total variation {variation:.1e}"

    @torch.no_grad()
    def _distributions(self, name: str) -> torch.Tensor:
        model = load_model(self.folder / name, torch.float32, torch.device(self.device))
        windows = torch.randint(3, TOKENS, (WINDOWS, 64), generator=torch.Generator().manual_seed(1))
        rows = [model(window[None].to(self.device)).logits.softmax(-1).cpu() for window in windows]
        return torch.cat(rows)

    def tune(self, dtype: str) -> str:
        """Tunes the compressed model for a few steps."""
        settings = ("--tuning", "pydoc", "--dtype", dtype, "--max-steps", STEPS, "--device", self.device)
        out = f"adapter-{dtype}"
        self.lorap("tune", "--model", f"{self.device}-bfloat16", *settings, "--out", out)
        timing = read_json(self.folder / out / "timing.json")
        losses = [row["loss"] for row in read_json(self.folder / out / "history.json")["log"] if "loss" in row]
        memory = timing["peak_memory_bytes"] / 1e9
        return f"loss {losses[0]:.2f} to {losses[-1]:.2f}, {timing['seconds_per_step']:.2f} s a step, {memory:.1f} GB"

    def perplexity(self, name: str) -> str:
        """Measures a model."""
        text = ("--corpus", "pydoc", "--windows", WINDOWS, "--out", "perplexity.json", "--device", self.device)
        took = self.lorap("evaluate", "perplexity", "--model", name, *text)
        return f"{read_json(self.folder / 'perplexity.json')['perplexity']:.1f} in {took:.0f} s"

    def constants(self) -> str:
        """Measures those of the time model."""
        took = self.lorap("estimate", "--measure", "--device", self.device, "--machine", MACHINE)
        return f"measured in {took:.0f} s; {host_figures(self.machine)}"

    @property
    def machine(self) -> Machine:
        """What was measured; a LorapError where that failed."""
        return read_machine(self.folder / MACHINE)

    def eigenvectors(self, width: int) -> str:
        """Times both ways to an eighth of the eigenvectors of a Gram matrix, as q and k have them at half the size."""
        weight = torch.randn(width, width, generator=torch.Generator().manual_seed(0)).to(self.device)
        weight *= torch.linspace(2, 0.1, width, device=self.device)
        gram, rank, device = output_gram(in_float64(weight), None), width // 8, torch.device(self.device)
        filtered_subspace(gram, rank)
        started = now(device)
        filtered_subspace(gram, rank)
        filtered, solver = now(device) - started, self.machine.solve("eigenvectors float64", width)
        return f"eigensolver {solver:.2f} s, filtered subspace {filtered:.2f} s"


def run(folder: Path, device: str, shape: dict[str, Any]) -> Check:
    """All checks, in an order in which later ones use what earlier ones made."""
    checks = Check(folder, device)
    write_random_model(folder / "dense", llama(**shape))
    checks.lorap("calibrate", "--model", "dense", "--corpus", "pydoc", "--nsamples", NSAMPLES, "--out", "c.safetensors")
    for on, dtype in dict.fromkeys([(device, "float32"), ("cpu", "float32"), (device, "bfloat16")]):
        checks.check(f"compress, {on}, {dtype}", partial(checks.compress, on, dtype))
    checks.check("results agree with the CPU's", checks.agree)
    for dtype in ("bfloat16", "float16") if device != "cpu" else ("bfloat16",):
        checks.check(f"tune, {dtype}", partial(checks.tune, dtype))
    for name in ("dense", f"{device}-bfloat16"):
        checks.check(f"perplexity, {name}", partial(checks.perplexity, name))
    checks.check("constants of the time model", checks.constants)
    checks.check(f"eigenvectors, width {shape['hidden']}", partial(checks.eigenvectors, shape["hidden"]))
    checks.check("estimate, compress LLaMA-7B to half", lambda: llama_7b(checks.machine))
    return checks


def report(checks: Check, shape: dict[str, Any]) -> str:
    """Markdown: the machine, a row for every check, and the constants of the time model where they were measured."""
    device = checks.device
    name = (
        torch.cuda.get_device_name() if device == "cuda" else f"{platform.machine()}, {torch.get_num_threads()} threads"
    )
    sizes = ", ".join(f"{value} {size}" for size, value in shape.items())
    lines = ["# lorap on a GPU" if device == "cuda" else "# lorap on a CPU in a GPU's place", ""]
    lines += [f"{name}; torch {torch.__version__}, CUDA {torch.version.cuda}; random LLaMA: {sizes}.", ""]
    lines += ["| check | | figures |", "|---|---|---|", *(f"| {' | '.join(finding)} |" for finding in checks.findings)]
    if (checks.folder / MACHINE).is_file():
        lines += ["", "The constants in the form of an entry of `gpus` in lorap/machine/gpus.json:", ""]
        lines += ["```json", entry(checks.machine), "```"]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Runs the checks, writes and prints the report; exit code 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    device, shape = ("cuda", LARGE) if torch.cuda.is_available() else ("cpu", SMALL)
    with tempfile.TemporaryDirectory() as folder:
        checks = run(Path(folder), device, shape)
        text = report(checks, shape)
    args.out.write_text(text, encoding="utf-8")
    print(text)
    sys.exit(any(state != "ok" for _, state, _ in checks.findings))


if __name__ == "__main__":
    main()
