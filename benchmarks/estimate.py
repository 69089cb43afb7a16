"""The time model beside the clock: what ``lorap estimate`` says of jobs on this machine, and what they take.

    python -m benchmarks.estimate --out FILE.json

The constants are measured in the same run. The models are random ones of three widths, their queries and keys with a
spectrum that falls as a real model's does, so that half of the factorisations need float64.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from benchmarks.record import seconds, settings_of
from lorap.artifacts.places import jobs
from lorap.artifacts.step import Step
from lorap.files import write_json
from lorap.machine.speeds import Machine, read_machine
from lorap.settings.config import load_params
from lorap.settings.schema import Params
from lorap.workflow.architectures import model_of
from lorap.workflow.forecast import Job, job_of
from tests.tokenizer import small_tokenizer

GRID, CALIBRATION = "estimate", "pydoc-128x128"
SHAPES = {256: 32, 512: 16, 1024: 8}  # layers by width
HEAD, VOCABULARY = 64, 4096
SCORED = 256  # windows of the perplexity
DECAY = 16  # singular values of queries and keys fall by so many powers of e from the first to the last
TIMED = ("compress", "evaluate_compressed", "cost_compressed")


def parse_arguments() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs="+", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--nsamples", type=int, default=128)
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def lorap(folder: Path, *arguments: object) -> float:
    """Seconds of a command of lorap."""
    path = {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-m", "lorap", *map(str, arguments)]
    return seconds(subprocess.run, command, check=True, cwd=folder, env=os.environ | path, stdout=subprocess.DEVNULL)


def save_model(width: int, folder: Path) -> None:
    """A random LLaMA in float32, with a tokenizer."""
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=width,
        intermediate_size=43 * width // 16,
        num_hidden_layers=SHAPES[width],
        num_attention_heads=width // HEAD,
        vocab_size=VOCABULARY,
        max_position_embeddings=128,
    )
    model = AutoModelForCausalLM.from_config(config)
    falling = torch.exp(-DECAY * torch.arange(width) / width)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "q_proj" in name or "k_proj" in name:
                weight.copy_(weight @ (falling[:, None] * torch.randn(width, width)) / width**0.5)
    model.save_pretrained(folder)
    small_tokenizer(VOCABULARY).save_pretrained(folder)


def settings(args: argparse.Namespace, folder: Path) -> Params:
    """Those of the package, with a grid of the random models."""
    raw = load_params().model_dump()
    names = [f"llama-{width}" for width in args.widths]
    raw["models"] |= {name: {"source": "folder", "path": str(folder / "made" / name)} for name in names}
    raw["evaluate"]["perplexity"]["pydoc"]["windows"] = SCORED
    raw["calibrate"][CALIBRATION] = {"corpus": "pydoc", "nsamples": args.nsamples, "seqlen": 128}
    cells = [{"methods": ["lorap"], "sparsities": [0.5]}]
    raw["grids"][GRID] = {"models": names, "calibration": CALIBRATION, "cells": cells, "perplexity": ["pydoc"]}
    return Params.model_validate(raw)


def run_job(step: Step, job: Job, params: Params, folder: Path) -> float:
    """Seconds of a job, run as the workflow runs it."""
    spec = step.spec(params, GRID, job.cell).canonical()
    model, calibration, small = (folder / f"{name}-{job.cell.model}" for name in ("model", "windows", "small"))
    command: dict[str, tuple[object, ...]] = {
        "fetch": ("fetch", folder / "made" / job.cell.model, "--out", model),
        "calibrate": ("calibrate", "--spec", spec, "--model", model, "--out", calibration),
        "compress": ("compress", "--spec", spec, "--model", model, "--calibration", calibration, "--out", small),
        "evaluate_compressed": ("evaluate", "suite", "--spec", spec, "--model", small, "--out", folder / "measured"),
        "cost_compressed": ("evaluate", "cost", "--spec", spec, "--model", small, "--out", folder / "cost.json"),
    }
    return lorap(folder, *command[step.name])


def time_jobs(args: argparse.Namespace, machine: Machine, folder: Path) -> list[dict[str, Any]]:
    """Seconds of every job, estimated and by the clock."""
    params = settings(args, folder)
    for width in args.widths:
        save_model(width, folder / "made" / f"llama-{width}")
    found = []
    for step, cell in jobs(params.grids[GRID], params.methods):
        if step.name not in ("fetch", "calibrate", *TIMED):
            continue
        job = job_of(params, GRID, step, cell, machine, lambda name: model_of(params, GRID, name, folder))
        seconds = run_job(step, job, params, folder)
        if step.name in TIMED:
            ratio = job.seconds / seconds
            found.append({"job": step.name, "model": cell.model, "seconds": seconds, "estimated": job.seconds,
                          "ratio": ratio, "terms": job.terms})  # fmt: skip
            print(f"{step.name} {cell.model}: {seconds:.1f} s, estimated {job.seconds:.1f} s, ratio {ratio:.2f}")
    return found


def main() -> None:
    """Measures the machine, times the jobs and writes the JSON."""
    args = parse_arguments()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as place:
        folder, measured = Path(place), Path(place, "machine.json")
        lorap(folder, "estimate", "--measure", "--device", "cpu", "--machine", measured)
        machine = read_machine(measured)
        timed = time_jobs(args, machine, folder)
    result = {
        "settings": settings_of(args),
        "torch": torch.__version__,
        "load_average_before": load,
        "machine": machine.model_dump(),
        "jobs": timed,
        "furthest_off": max(abs(one["ratio"] - 1) for one in timed),
    }
    write_json(args.out, result)
    print(json.dumps({"furthest_off": result["furthest_off"]}))


if __name__ == "__main__":
    main()
