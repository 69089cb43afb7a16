"""How long methods take beside lorap, from the model's folder to the compressed one, scoring and writing included.

    python -m benchmarks.methods --model DIR --methods lorap flap svd-llm --out FILE.json

Seconds mean little on a machine that others use, so everything is timed in turn within one process, and what counts
are ratios to lorap and to a pass of the calibration set through the dense decoder.
"""

import argparse
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.record import seconds, settings_of
from benchmarks.work import CPU, calibration_windows, compressing_options, dense_model, dense_pass
from lorap.api.chosen import compress_spec
from lorap.compression.run import compress
from lorap.files import write_json
from lorap.machine.heap import keep_freed

BASE = "lorap"


def parse_arguments() -> argparse.Namespace:
    """The options."""
    parser = compressing_options(__doc__, repeats=1)
    parser.add_argument("--methods", nargs="+", required=True, help=f"of params.yaml, beside {BASE}")
    return parser.parse_args()


def compressed(method: str, args: argparse.Namespace, windows: Tensor) -> None:
    """A model made and thrown away."""
    spec = compress_spec(method, args.sparsity, {}, None, dtype="float32", batch=args.batch)
    with tempfile.TemporaryDirectory() as folder:
        compress(spec, args.model, windows, Path(folder), CPU, quiet=True)


def time_methods(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Seconds of every run, and their median as a multiple of lorap's and of the dense pass."""
    windows, model = calibration_windows(args), dense_model(args)
    dense_pass(model, windows[: args.batch], args.batch)
    names = [BASE, *(name for name in args.methods if name != BASE)]
    runs = [
        {"dense pass": seconds(dense_pass, model, windows, args.batch)}
        | {name: seconds(compressed, name, args, windows) for name in names}
        for _ in range(args.repeats)
    ]
    medians = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    return {
        name: {
            "seconds": [run[name] for run in runs],
            "of_lorap": median / medians[BASE],
            "dense_passes": median / medians["dense pass"],
        }
        for name, median in medians.items()
    }


def main() -> None:
    """Measures, prints the table and writes the JSON."""
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    keep_freed()  # as the command does
    load = os.getloadavg()[0]  # before the benchmark's own
    found = time_methods(args)
    write_json(args.out, {
        "settings": settings_of(args), "torch": torch.__version__, "load_average_before": load, "methods": found,
    })  # fmt: skip
    print("| | median seconds | of lorap's | dense passes |\n|---|---:|---:|---:|")
    for name, row in found.items():
        median = statistics.median(row["seconds"])
        print(f"| {name} | {median:.1f} | {row['of_lorap']:.2f} | {row['dense_passes']:.2f} |")


if __name__ == "__main__":
    main()
