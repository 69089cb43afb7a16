"""One layer of every width: lorap beside the plain form of the published procedure, and where lorap's time goes.

    python -m benchmarks.widths --out FILE.json

Random weights whose singular values fall, on calibration windows of the Python reference. All times are multiples of a
dense float32 pass of the calibration set through that layer, measured in the same process.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

import lorap.core.factorise
from benchmarks.large import Limited
from benchmarks.plots import draw_widths
from benchmarks.random_model import TOKENS, llama, write_random_model
from benchmarks.record import seconds, settings_of
from benchmarks.work import CPU, METHOD, dense_pass, plain_procedure
from lorap.compression.loop import LayerLoop
from lorap.compression.planning import plan_model
from lorap.compression.run import compress_layer
from lorap.files import write_json
from lorap.machine.heap import keep_freed
from lorap.model.folder import DTYPES, read_config
from lorap.model.weights import SINGLE
from lorap.model.writer import WeightsWriter
from lorap.settings.method import Method

SPARSITY, BATCH = 0.5, 16
HEAD = 64
SHAPE = 11008 / 4096  # channels for each of the width, as in LLaMA-7B
DEPTHS = (2, 8, 16)  # layers of the models whose compression's memory is measured


def parse_arguments() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs="+", default=[576, 1024, 2048, 4096])
    parser.add_argument("--nsamples", type=int, default=128)
    parser.add_argument("--seqlen", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, help="the plot goes beside it")
    return parser.parse_args()


@contextmanager
def clocked(*parts: tuple[str, Any, str]) -> Iterator[dict[str, float]]:
    """Adds up the seconds of functions by label; a part is a label, what has the function, and its name there."""
    spent: dict[str, float] = {label: 0.0 for label, _, _ in parts}
    whole = [(owner, name, getattr(owner, name)) for _, owner, name in parts]

    def timed(label: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            started = time.perf_counter()
            try:
                return work(*arguments, **options)
            finally:
                spent[label] += time.perf_counter() - started

        return run

    for (label, _, _), (owner, name, work) in zip(parts, whole, strict=True):
        setattr(owner, name, timed(label, work))
    try:
        yield spent
    finally:
        for owner, name, work in whole:
            setattr(owner, name, work)


def lorap_layer(folder: Path, windows: Tensor, dtype: str) -> dict[str, float]:
    """Seconds for the first of two layers, by kind of work; the inputs of the second one are made too."""
    config = read_config(folder)
    config.dtype = DTYPES[dtype]
    method = Method.model_validate(METHOD)
    plan = plan_model(config, method, SPARSITY)
    loop = LayerLoop(plan.dense, folder, windows, DTYPES[dtype], CPU, BATCH)
    started = time.perf_counter()
    index, layer = next(iter(loop))
    reading = time.perf_counter() - started
    passes = (("passes", LayerLoop, "gather"), ("passes", LayerLoop, "advance"))
    started = time.perf_counter()
    with clocked(("factorisation", lorap.core.factorise, "factorise"), *passes) as spent:
        compress_layer(loop, index, layer, plan, method)
    other = time.perf_counter() - started - sum(spent.values())
    writing = seconds(_write, folder, layer.state_dict())
    return {"reading": reading, **spent, "other": other, "writing": writing}


def _write(folder: Path, state: dict[str, Tensor]) -> None:
    with WeightsWriter(folder / "layer.safetensors", state) as writer:
        for name, tensor in state.items():
            writer.write(name, tensor)
        writer.keep()


def first_layer(folder: Path) -> PreTrainedModel:
    """The whole model, in float32, without its second layer."""
    config = AutoConfig.from_pretrained(folder, num_hidden_layers=1)
    return AutoModelForCausalLM.from_pretrained(folder, config=config, dtype=torch.float32).eval()


def measure(width: int, args: argparse.Namespace) -> dict[str, Any]:
    """Medians for one width, in seconds of a dense pass and in multiples of it."""
    generator = torch.Generator().manual_seed(0)
    windows = torch.randint(3, TOKENS, (args.nsamples, args.seqlen), generator=generator)
    with tempfile.TemporaryDirectory() as name:
        folder = write_random_model(Path(name, "model"), llama(width, round(SHAPE * width), 2, width // HEAD))
        runs = [_run(folder, windows) for _ in range(args.repeats)]
    dense = statistics.median(run["dense"]["passes"] for run in runs)
    found: dict[str, Any] = {"dense_pass_seconds": dense}
    for kind in runs[0]:
        parts = {part: statistics.median(run[kind][part] for run in runs) / dense for part in runs[0][kind]}
        found[kind] = parts | {"total": sum(parts.values())}
    return found


def _run(folder: Path, windows: Tensor) -> dict[str, dict[str, float]]:
    model = first_layer(folder)
    dense_pass(model, windows[:BATCH], BATCH)
    run = {"dense": {"passes": seconds(dense_pass, model, windows, BATCH)}}
    run["lorap, float32"] = lorap_layer(folder, windows, "float32")
    run["lorap, bfloat16 passes"] = lorap_layer(folder, windows, "bfloat16")
    run["plain procedure"] = {"whole": seconds(plain_procedure, model, windows, SPARSITY)}
    return run


def memory(width: int, layers: int) -> dict[str, float]:
    """Bytes of a model's file, and the peak of what `lorap compress` had for itself."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_random_model(folder / "model", llama(width, round(SHAPE * width), layers, width // HEAD))
        limited = Limited(folder)
        limited.run("calibrate", "--model", "model", "--corpus", "pydoc", "--nsamples", 32, "--out", "c.safetensors")
        files = ("--model", "model", "--calibration", "c.safetensors", "--out", "small")
        peak = limited.run("compress", *files, "--sparsity", SPARSITY)["peak_bytes"]
        return {
            "width": width,
            "layers": layers,
            "model_bytes": (folder / "model" / SINGLE).stat().st_size,
            "peak": peak,
        }


def main() -> None:
    """Measures every width, draws the plot, and writes what was found."""
    args = parse_arguments()
    keep_freed()
    settings = settings_of(args)
    found: dict[str, Any] = {"settings": settings, "torch": torch.__version__, "threads": torch.get_num_threads()}
    found["load_average_before"] = os.getloadavg()[0]
    found["widths"] = {str(width): measure(width, args) for width in args.widths}
    narrow = args.widths[0]
    found["memory"] = [memory(narrow, layers) for layers in DEPTHS] + [memory(2 * narrow, DEPTHS[0])]
    write_json(args.out, found)
    draw_widths(found, args.out.with_suffix(".png"))
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
