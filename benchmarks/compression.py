"""Compression beside the plain form of the published procedure: time, memory and perplexity.

    python -m benchmarks.compression --model DIR --out FILE.json

Seconds mean little on a machine that others use, so everything is timed in turn within one process, and what counts
are ratios to a pass of the calibration set through the dense decoder.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

import torch
from torch import Tensor

from benchmarks.record import seconds, settings_of
from benchmarks.work import (
    CPU,
    KINDS,
    METHOD,
    calibration_windows,
    compressing_options,
    dense_model,
    dense_pass,
    footprint,
    plain_procedure,
    spec_of,
)
from lorap.compression.loop import LayerLoop
from lorap.compression.planning import plan_model
from lorap.compression.run import compress_layer
from lorap.core.factorise import factorise
from lorap.files import write_json
from lorap.machine.heap import keep_freed
from lorap.model.folder import read_config

SQUARE, RANK = 2048, 512  # of the weight that is factored alone


def parse_arguments() -> argparse.Namespace:
    """The options; ``--footprint`` is for the processes that measure memory."""
    parser = compressing_options(__doc__, repeats=3)
    parser.add_argument("--footprint", choices=KINDS, help=argparse.SUPPRESS)
    return parser.parse_args()


def lorap_seconds(args: argparse.Namespace, windows: Tensor, dtype: torch.dtype) -> dict[str, float]:
    """Seconds of the work on all layers, and of the same with streaming the weights from disk."""
    started, work, spec = time.perf_counter(), 0.0, spec_of(args)
    config = read_config(args.model)
    config.dtype = dtype
    plan = plan_model(config, spec.method, spec.sparsity)
    loop = LayerLoop(plan.dense, args.model, windows, dtype, CPU, args.batch)
    for index, layer in loop:
        layer_started = time.perf_counter()
        compress_layer(loop, index, layer, plan, spec.method)
        work += time.perf_counter() - layer_started
    return {"lorap": work, "lorap with loading": time.perf_counter() - started}


def time_compression(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Medians in seconds and as multiples of the dense pass, measured in turn."""
    windows, model = calibration_windows(args), dense_model(args)
    dense_pass(model, windows[: args.batch], args.batch)
    runs = []
    for _ in range(args.repeats):
        run = {"dense pass": seconds(dense_pass, model, windows, args.batch)}
        run |= lorap_seconds(args, windows, torch.float32)
        run["lorap, bfloat16 passes"] = lorap_seconds(args, windows, torch.bfloat16)["lorap"]
        run["plain procedure"] = seconds(plain_procedure, dense_model(args), windows, args.sparsity)
        runs.append(run)
    medians = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    return {
        name: {"seconds": [run[name] for run in runs], "dense_passes": median / medians["dense pass"]}
        for name, median in medians.items()
    }


def time_factorisation(repeats: int) -> dict[str, float]:
    """A square weight factored by lorap and by a full SVD: time, and how far lorap's error is above the optimum."""
    weight = torch.randn(SQUARE, SQUARE, generator=torch.Generator().manual_seed(0))
    pairs = [
        (seconds(factorise, weight, RANK), seconds(torch.linalg.svd, weight, False))  # the full SVD, in its thin form
        for _ in range(repeats)
    ]
    left, right = factorise(weight, RANK)
    optimum = torch.linalg.svdvals(weight.double())[RANK:].norm()
    error = (weight.double() - left.double() @ right.double()).norm()
    ours, svd = (statistics.median(times) for times in zip(*pairs, strict=True))
    return {"lorap": ours, "svd": svd, "ratio": ours / svd, "error_above_optimum": float(error / optimum - 1)}


def footprint_alone(kind: str) -> dict[str, Any]:
    """``footprint`` in a process of its own, because the peak of a process never falls."""
    command = [sys.executable, "-m", "benchmarks.compression", *sys.argv[1:], "--footprint", kind]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def as_table(result: dict[str, Any]) -> str:
    """The result for a person, as Markdown."""
    lines = ["| | median seconds | dense passes |", "|---|---:|---:|"]
    for name, row in result["compression"].items():
        lines.append(f"| {name} | {statistics.median(row['seconds']):.1f} | {row['dense_passes']:.2f} |")
    lines += ["", "| | peak memory, MB | of these imports | perplexity |", "|---|---:|---:|---:|"]
    for name, row in result["processes"].items():
        peak, imports = row["peak_bytes"] / 1e6, row["imports_bytes"] / 1e6
        lines.append(f"| {name} | {peak:.0f} | {imports:.0f} | {row['perplexity']:.3f} |")
    alone = result["factorisation"]
    lines += ["", f"Rank {RANK} of {SQUARE} x {SQUARE}: {alone['ratio']:.2f} of the time of a full SVD, "]
    lines[-1] += f"error {alone['error_above_optimum']:.1e} above the optimum."
    return "\n".join(lines)


def main() -> None:
    """Measures, prints the table and writes the JSON."""
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    keep_freed()  # as the command does
    if args.footprint:
        print(json.dumps(footprint(args.footprint, args)))
        return
    settings = settings_of(args)
    load = os.getloadavg()[0]  # before the benchmark's own
    result = {
        "settings": settings | METHOD,
        "torch": torch.__version__,
        "load_average_before": load,
        "processes": {kind: footprint_alone(kind) for kind in KINDS},
        "compression": time_compression(args),
        "factorisation": time_factorisation(args.repeats),
    }
    write_json(args.out, result)
    print(as_table(result))


if __name__ == "__main__":
    main()
