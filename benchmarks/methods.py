"""What methods take beside lorap, from the model's folder to the compressed one, scoring and writing included.

    python -m benchmarks.methods --model DIR --methods lorap-plus flap svd-llm --out FILE.json

Seconds mean little on a machine that others use, so everything is timed in turn within one process, and what counts
are ratios to lorap and to a pass of the calibration set through the dense decoder. A survey is a row of its own.
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
from torch import Tensor

from benchmarks.record import seconds, settings_of
from benchmarks.work import CPU, calibration_windows, compressing_options, dense_model, dense_pass
from lorap.api.chosen import compress_spec, survey_spec
from lorap.compression.run import compress
from lorap.compression.survey_file import read_survey, write_survey
from lorap.compression.surveying import survey_model
from lorap.files import write_json
from lorap.machine.heap import keep_freed
from lorap.machine.meter import peak_memory

BASE, SURVEY, PASS = "lorap", "survey", "dense pass"


def parse_arguments() -> argparse.Namespace:
    """The options; ``--footprint`` and ``--survey`` are for the processes that measure memory."""
    parser = compressing_options(__doc__, repeats=1)
    parser.add_argument("--methods", nargs="+", required=True, help=f"of params.yaml, beside {BASE}")
    parser.add_argument("--footprint", help=argparse.SUPPRESS)
    parser.add_argument("--survey", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def surveyed(args: argparse.Namespace, windows: Tensor, file: Path) -> None:
    """A survey of the model, written to a file."""
    spec = survey_spec(None, dtype="float32", batch=args.batch)
    write_survey(file, survey_model(spec, args.model, windows, CPU, quiet=True))


def compressed(method: str, args: argparse.Namespace, windows: Tensor, survey: Path) -> None:
    """A model made and thrown away."""
    spec = compress_spec(method, args.sparsity, {}, None, dtype="float32", batch=args.batch)
    found = read_survey(survey, {}) if spec.method.share.surveyed else ()
    with tempfile.TemporaryDirectory() as folder:
        compress(spec, args.model, windows, Path(folder), CPU, quiet=True, survey=found)


def needs_survey(method: str, args: argparse.Namespace) -> bool:
    """Whether a method's share wants one."""
    return compress_spec(method, args.sparsity, {}, None).method.share.surveyed


def time_methods(args: argparse.Namespace, names: list[str], survey: Path) -> dict[str, dict[str, Any]]:
    """Seconds of every run, and their median as a multiple of lorap's and of the dense pass."""
    windows, model = calibration_windows(args), dense_model(args)
    dense_pass(model, windows[: args.batch], args.batch)
    runs = [
        {PASS: seconds(dense_pass, model, windows, args.batch)}
        | {name: seconds(surveyed, args, windows, survey) if name == SURVEY else
                 seconds(compressed, name, args, windows, survey) for name in names}
        for _ in range(args.repeats)
    ]  # fmt: skip
    medians = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    return {
        name: {
            "seconds": [run[name] for run in runs],
            "of_lorap": median / medians[BASE],
            "dense_passes": median / medians[PASS],
        }
        for name, median in medians.items()
    }


def footprint(args: argparse.Namespace, survey: Path) -> dict[str, int]:
    """Peak memory of one kind of work in a process that does nothing else first."""
    imports, windows = peak_memory(CPU), calibration_windows(args)
    if args.footprint == PASS:
        dense_pass(dense_model(args), windows, args.batch)
    elif args.footprint == SURVEY:
        surveyed(args, windows, survey)
    else:
        compressed(args.footprint, args, windows, survey)
    return {"imports_bytes": imports, "peak_bytes": peak_memory(CPU)}


def footprint_alone(kind: str, survey: Path) -> dict[str, int]:
    """``footprint`` in a process of its own, because the peak of a process never falls."""
    command = [sys.executable, "-m", "benchmarks.methods", *sys.argv[1:], "--footprint", kind, "--survey", str(survey)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measures, prints the table and writes the JSON."""
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    keep_freed()  # as the command does
    if args.footprint:
        print(json.dumps(footprint(args, args.survey)))
        return
    load = os.getloadavg()[0]  # before the benchmark's own
    names = [BASE, *(name for name in args.methods if name != BASE)]
    names = [*([SURVEY] if any(needs_survey(name, args) for name in names) else []), *names]
    with tempfile.TemporaryDirectory() as folder:
        survey = Path(folder, "survey.safetensors")
        found = time_methods(args, names, survey)
        for name, row in found.items():
            row |= footprint_alone(name, survey)
    write_json(args.out, {
        "settings": settings_of(args), "torch": torch.__version__, "load_average_before": load, "methods": found,
    })  # fmt: skip
    print("| | median seconds | of lorap's | dense passes | peak memory, MB |\n|---|---:|---:|---:|---:|")
    for name, row in found.items():
        median, peak = statistics.median(row["seconds"]), row["peak_bytes"] / 1e6
        print(f"| {name} | {median:.1f} | {row['of_lorap']:.2f} | {row['dense_passes']:.2f} | {peak:.0f} |")


if __name__ == "__main__":
    main()
