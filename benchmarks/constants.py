"""The constants of the time model in the report of ``benchmarks.gpu_check``, and what they come to for LLaMA-7B."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch

from lorap.machine.named import assumed_host
from lorap.machine.speeds import CONSTANTS, Machine
from lorap.settings.config import load_params
from lorap.workflow.forecast import forecast

ASKED = ("compress", "llama-7b", "lorap", 0.5)  # rule, model, method and sparsity of the job that is estimated


def entry(machine: Machine) -> str:
    """What lorap/machine/gpus.json holds of a measured GPU, as JSON with its key: nothing that is the host's."""
    host = assumed_host()
    names = [name for name in CONSTANTS if name not in host]
    measured = ",\n".join(f"    {json.dumps(name)}: {_number(machine.constants[name].value)}" for name in names)
    source = f"measured by make gpu-check, torch {torch.__version__}, CUDA {torch.version.cuda}"
    fields = {"name": json.dumps(machine.name), "full_rate": json.dumps(machine.full_rate),
              "measured": f"{{\n{measured}\n  }}", "source": json.dumps(source)}  # fmt: skip
    lines = ",\n".join(f"  {json.dumps(name)}: {text}" for name, text in fields.items())
    return f"{json.dumps(machine.name.lower().replace(' ', '-'))}: {{\n{lines}\n}}"


def _number(value: float | Mapping[str, float]) -> str:
    """Four digits are more than a second measurement agrees in."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{json.dumps(width)}: {_number(one)}' for width, one in value.items())}}}"
    return f"{value:.4g}"


def host_figures(machine: Machine) -> str:
    """The constants that are the host's, in words."""
    read, write, sha256 = (machine.constants[name].at(1) / 1e9 for name in ("read", "write", "hash"))
    numbers = machine.constants["random"].at(1)
    return (
        f"disk {read:.2f} GB/s read and {write:.2f} written, sha256 {sha256:.2f} GB/s, "
        f"{numbers:.1e} random numbers a second, start {machine.start():.1f} s"
    )


def llama_7b(machine: Machine) -> str:
    """What ``lorap compress`` of LLaMA-7B would take on the machine, by the time model."""
    jobs = forecast(load_params(), "paper", machine, Path("results"))
    job = next(job for job in jobs if (job.rule, job.cell.model, job.cell.method, job.cell.sparsity) == ASKED)
    terms = sorted(job.terms.items(), key=lambda term: -term[1])
    return f"{job.seconds:,.0f} s: {', '.join(f'{name} {seconds:,.1f}' for name, seconds in terms)}"
