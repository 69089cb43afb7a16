"""Tuning on the factored model beside tuning on its dense equivalent: time and memory of a step.

    python -m benchmarks.tuning --model DIR --out FILE.json

Every run is a process of its own, the two forms take turns, and what counts are ratios of medians.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.record import settings_of
from lorap.artifacts.names import TIMING
from lorap.files import write_json

FORMS = ("dense", "factored")
MEASURES = ("seconds_per_step", "peak_memory_bytes")


def parse_arguments() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--sparsity", type=float, default=0.5)
    parser.add_argument("--tuning", default="pydoc", help="of params.yaml")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def lorap(*arguments: object) -> None:
    """Runs a command of lorap."""
    subprocess.run([sys.executable, "-m", "lorap", *map(str, arguments)], check=True)


def compress(args: argparse.Namespace, folder: Path) -> Path:
    """The folder of the compressed model."""
    calibration, small = folder / "calibration.safetensors", folder / "small"
    lorap("calibrate", "--model", args.model, "--corpus", "pydoc", "--nsamples", 32, "--out", calibration)
    lorap("compress", "--model", args.model, "--calibration", calibration, "--sparsity", args.sparsity, "--out", small)
    return small


def tune(args: argparse.Namespace, small: Path, form: str) -> dict[str, float]:
    """Median seconds of a step, and the peak of memory in bytes."""
    out, every = small.parent / form, args.steps + 1
    settings = ["--tuning", args.tuning, "--form", form, "--dtype", args.dtype, "--held-out", 8]
    lorap("tune", "--model", small, *settings, "--max-steps", args.steps, "--evaluate-every", every, "--out", out)
    timing: dict[str, float] = json.loads((out / TIMING).read_text(encoding="utf-8"))
    return timing


def main() -> None:
    """Measures both forms in turn and writes runs, medians and ratios."""
    args = parse_arguments()
    load = os.getloadavg()[0]
    runs: dict[str, list[dict[str, float]]] = {form: [] for form in FORMS}
    with tempfile.TemporaryDirectory() as folder:
        small = compress(args, Path(folder))
        for _ in range(args.repeats):
            for form in FORMS:
                runs[form].append(tune(args, small, form))
    medians = {form: {name: statistics.median(run[name] for run in runs[form]) for name in MEASURES} for form in FORMS}
    result: dict[str, Any] = {
        "settings": settings_of(args),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "load_average_before": load,
        "runs": runs,
        "medians": medians,
        "factored_over_dense": {name: medians["factored"][name] / medians["dense"][name] for name in MEASURES},
    }
    write_json(args.out, result)
    print(json.dumps(result["factored_over_dense"], indent=2))


if __name__ == "__main__":
    main()
