"""The workflow at a thousand measured cells beside a small grid: planning, verifying, adopting; no model is run.

    python -m benchmarks.workflow --out FILE.json

The artifacts are stand-ins of two bytes with true metas. What counts are ratios of medians, and the seconds of the
large grid as an order of magnitude.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from lorap.artifacts.grid import all_cells
from lorap.artifacts.meta import make_meta
from lorap.artifacts.places import jobs
from lorap.artifacts.step import Output
from lorap.files import sha256_file, write_json
from lorap.settings.config import load_params
from lorap.workflow.expected import Artifact, artifacts

ROOT = Path(__file__).parents[1]
PARTS = ("Snakefile", "rules", "profiles", "lorap")
GRID, RESULTS = "scale", Path("results")
METHODS = ["lorap", "svd", "afm", "lorap-1to1"]
CONTENT = "{}"
SHAPE = json.dumps(
    {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "vocab_size": 300, "num_attention_heads": 4}
)


def make_workflow(folder: Path, sparsities: int) -> int:
    """A checkout with a grid of ``sparsities`` times four compressed models, each tuned; returns its measured cells."""
    for part in PARTS:
        (shutil.copytree if (ROOT / part).is_dir() else shutil.copyfile)(ROOT / part, folder / part)
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    block = {
        "methods": METHODS,
        "sparsities": [round(0.1 + 0.01 * step, 2) for step in range(sparsities)],
        "tune": ["pydoc"],
        "kept_as": ["adapter", "exact", "truncated"],
        "zeroshot": True,
    }
    params["grids"] = {GRID: params["grids"]["demo"] | {"cells": [block]}}
    params["active"] = [GRID]
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    return len(all_cells(load_params(folder / "params.yaml").grids[GRID]))


def fill(folder: Path) -> None:
    """Writes every artifact of the grid."""
    params = load_params(folder / "params.yaml")
    outputs = [each.of(cell) for step, cell in jobs(params.grids[GRID], params.methods) for each in step.outputs]
    ids: dict[Path, str] = {}
    for artifact, output in zip(artifacts(params, GRID, folder / RESULTS), outputs, strict=True):
        inputs = {role: ids[meta] for role, meta in artifact.inputs.items()}
        meta = make_meta(
            artifact.spec, inputs, write_files(folder / RESULTS / GRID, artifact, output), time.monotonic()
        )
        ids[artifact.meta] = meta["id"]
        write_json(artifact.meta, meta)


def write_files(folder: Path, artifact: Artifact, output: Output) -> dict[str, str] | str:
    """Writes the files of one artifact; returns their hashes, as its meta has them."""
    hashes = {}
    for name in output.files:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(SHAPE if file.name == "config.json" else CONTENT, encoding="utf-8")
        hashes[str(file.relative_to(artifact.root))] = sha256_file(file)
    return sha256_file(artifact.path) if output.path in output.files else hashes


def seconds(folder: Path, *command: str, repeats: int = 1) -> float:
    """The median wall time of a program of this environment, run in a checkout."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder),
    }
    times = []
    for _ in range(repeats):
        started = time.monotonic()
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
        times.append(time.monotonic() - started)
    return round(statistics.median(times), 2)


def measure(sparsities: int, repeats: int) -> dict[str, Any]:
    """Seconds of every command on a grid, from an empty tree to an adopted one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found: dict[str, Any] = {"cells": make_workflow(folder, sparsities)}
        found["snakemake -n, empty"] = seconds(folder, "snakemake", "-n", repeats=repeats)
        fill(folder)
        found["lorap verify"] = seconds(folder, "lorap", "verify", repeats=repeats)
        found["lorap adopt"] = seconds(folder, "lorap", "adopt")
        found["snakemake -n, complete"] = seconds(folder, "snakemake", "-n", repeats=repeats)
    return found


def main() -> None:
    """Measures both grids and writes what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    load = os.getloadavg()[0]
    small, large = measure(3, args.repeats), measure(63, args.repeats)
    ratios = {name: round(large[name] / small[name], 2) for name in small}
    found = {"load_average_before": round(load, 2), "small": small, "large": large, "large over small": ratios}
    write_json(args.out, found)
    print(args.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
