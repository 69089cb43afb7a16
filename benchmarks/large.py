"""A model larger than memory: made at random, compressed, measured and exported under a limit, with and without kills.

    python -m benchmarks.large --folder DIR --group /sys/fs/cgroup/memory/NAME --out FILE.json

Every command runs as a user would run it, in a control group with a limit of memory that whoever starts this has made.
(``ulimit -d`` will not do: it counts a mapped file of weights as memory.) The default model has 3 billion parameters,
6.9 GB in bfloat16; the folder needs four times that.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.random_model import llama, write_random_model
from benchmarks.record import settings_of
from lorap.files import sha256_file, write_json
from lorap.model.weights import SINGLE

LOOK = 0.1  # seconds between two looks at a process
EARLIEST = 10.0  # seconds from a start to a kill, about what it takes until the first layer


def parse_arguments() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for the models; what it holds is used again")
    parser.add_argument("--hidden", type=int, default=3200)
    parser.add_argument("--channels", type=int, default=8640)
    parser.add_argument("--heads", type=int, default=32)
    parser.add_argument("--layers", type=int, default=26)
    parser.add_argument("--deeper", type=int, default=30, help="layers of a second model; 0: none")
    parser.add_argument("--method", default="lorap")
    parser.add_argument("--sparsity", type=float, default=0.5)
    parser.add_argument("--nsamples", type=int, default=32)
    parser.add_argument("--windows", type=int, default=8, help="of 128 tokens, for the perplexity")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--group", type=Path, help="folder of the control group")
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


class Limited:
    """Commands of lorap in one folder, and in a control group if one is named."""

    def __init__(self, folder: Path, group: Path | None = None) -> None:
        self.folder, self.group = folder, group

    def run(self, *arguments: object, kill_after: float | None = None) -> dict[str, float]:
        """Seconds and peak memory of a command, which is killed after so many seconds unless it has ended.

        The peak is of what belongs to the process alone; pages of mapped files are the system's to take back.
        """
        started, peak = time.monotonic(), 0
        command = [sys.executable, "-m", "lorap", *map(str, arguments)]
        with subprocess.Popen(command, cwd=self.folder, preexec_fn=self._join) as process:
            while process.poll() is None:
                peak = max(peak, own_memory(process.pid))
                if kill_after is not None and time.monotonic() - started > kill_after:
                    process.send_signal(signal.SIGKILL)
                    break
                time.sleep(LOOK)
        if process.returncode not in (0, -signal.SIGKILL if kill_after is not None else 0):
            raise SystemExit(f"failed: {' '.join(command[2:])}")
        return {"seconds": round(time.monotonic() - started, 1), "peak_bytes": peak}

    def _join(self) -> None:
        if self.group:
            (self.group / "cgroup.procs").write_text(str(os.getpid()), encoding="utf-8")

    def limit(self) -> int | None:
        """Bytes that the group may have, in either version of control groups."""
        files = [self.group / name for name in ("memory.limit_in_bytes", "memory.max")] if self.group else []
        return next((int(file.read_text(encoding="utf-8")) for file in files if file.exists()), None)


def own_memory(process: int) -> int:
    """Bytes of a process that no file backs; 0 once it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon:")), 0)


def measure(args: argparse.Namespace, layers: int, limited: Limited) -> dict[str, Any]:
    """Compresses, measures and exports a model of so many layers; the exported one is removed again."""
    dense, small, calibration = f"dense-{layers}", f"small-{layers}", f"calibration-{layers}.safetensors"
    if not (limited.folder / dense).exists():
        config = llama(args.hidden, args.channels, layers, args.heads, "bfloat16")
        write_random_model(limited.folder / dense, config)
    if not (limited.folder / calibration).exists():
        drawn = ("--corpus", "pydoc", "--nsamples", args.nsamples)
        limited.run("calibrate", "--model", dense, *drawn, "--out", calibration)
    shutil.rmtree(limited.folder / small, ignore_errors=True)
    found: dict[str, Any] = {"dense_bytes": (limited.folder / dense / SINGLE).stat().st_size}
    found["compress"] = limited.run(*compressing(args, layers), "--out", small)
    found["sha256"] = sha256_file(limited.folder / small / SINGLE)
    text = ("--corpus", "pydoc", "--windows", args.windows)
    for name, model in (("perplexity of dense", dense), ("perplexity", small)):
        found[name] = limited.run("evaluate", "perplexity", "--model", model, *text, "--out", "perplexity.json")
        measured = json.loads((limited.folder / "perplexity.json").read_text(encoding="utf-8"))
        found[name]["value"] = measured["perplexity"]
    found["export"] = limited.run("export", "--model", small, "--out", "exported")
    shutil.rmtree(limited.folder / "exported")
    return found


def compressing(args: argparse.Namespace, layers: int) -> list[object]:
    """The command that compresses a model, but for where to."""
    files = ["--model", f"dense-{layers}", "--calibration", f"calibration-{layers}.safetensors"]
    return ["compress", *files, "--method", args.method, "--sparsity", args.sparsity]


def disturbed(args: argparse.Namespace, limited: Limited, undisturbed: float) -> dict[str, Any]:
    """The same compression, killed at random moments and started again."""
    draw = random.Random(0)
    shutil.rmtree(limited.folder / "killed", ignore_errors=True)
    command = [*compressing(args, args.layers), "--out", "killed"]
    share = undisturbed / (args.kills + 1)
    runs = [limited.run(*command, kill_after=EARLIEST + draw.uniform(0, 2 * share)) for _ in range(args.kills)]
    runs.append(limited.run(*command))
    return {"runs": runs, "sha256": sha256_file(limited.folder / "killed" / SINGLE)}


def main() -> None:
    """Measures everything and writes what was found."""
    args = parse_arguments()
    args.folder.mkdir(parents=True, exist_ok=True)
    settings = settings_of(args)
    found: dict[str, Any] = {"settings": settings, "load_average_before": os.getloadavg()[0]}
    limited = Limited(args.folder, args.group)
    found["limit_bytes"] = limited.limit()
    found["model"] = measure(args, args.layers, limited)
    write_json(args.out, found)
    if args.kills:
        found["killed"] = disturbed(args, limited, found["model"]["compress"]["seconds"])
        found["same bytes after kills"] = found["killed"]["sha256"] == found["model"]["sha256"]
        write_json(args.out, found)
    if args.deeper:
        found["deeper"] = measure(args, args.deeper, limited)
        write_json(args.out, found)
    print(args.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
