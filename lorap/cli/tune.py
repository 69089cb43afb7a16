"""``lorap tune``: tune a LoRA adapter for a compressed model."""

import os
import shutil
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from lorap.artifacts.meta import artifact_id, new_artifact
from lorap.artifacts.specs import TuneSpec
from lorap.cli import options
from lorap.cli.output import announce
from lorap.cli.work import checked, given, on_device, spec_from
from lorap.errors import LorapError
from lorap.files import hidden, only_one
from lorap.settings.config import load_params, lookup, parse_spec
from lorap.settings.schema import Tune
from lorap.settings.sources import CorpusSource

OWN_HELD_OUT = 0.1  # of a user's own file, which may have fewer rows than the published data hold out

TUNE_OVERRIDES: tuple[tuple[str, Callable[[str], object], str], ...] = (
    ("--rows", int, "rows of the data to use"),
    ("--held-out", float, "rows of them that are not trained on, or their share (of a file of yours: 0.1)"),
    ("--cutoff", int, "tokens a row"),
    ("--rank", int, "of the adapter"),
    ("--alpha", int, "scaling of the adapter, times its rank"),
    ("--learning-rate", float, "at the end of the warm-up"),
    ("--warmup-steps", int, "steps until then"),
    ("--epochs", float, "passes over the rows"),
    ("--max-steps", int, "end after so many steps"),
    ("--batch", int, "rows a step"),
    ("--micro-batch", int, "rows at once; lower it when out of memory"),
    ("--evaluate-every", int, "steps between held-out losses, and between checkpoints"),
)


def add_options(parser: ArgumentParser) -> None:
    """The options of ``lorap tune``."""
    options.add_model(parser)
    parser.add_argument("--data", metavar="NAME_OR_FILE", help="corpus of params.yaml, instructions or a text of yours")
    parser.add_argument("--tuning", default="alpaca", metavar="NAME", help="tuning of params.yaml (default: alpaca)")
    override = parser.add_argument_group("in place of the tuning's own settings")
    override.add_argument("--form", metavar="factored|dense", help="beside the factors, or on their product")
    for name, kind, what in TUNE_OVERRIDES:
        override.add_argument(name, type=kind, metavar="N", help=what)
    override.add_argument("--dtype", help="float32, float16, bfloat16 or auto, the model's own")
    override.add_argument("--gradient-checkpointing", action="store_true", default=None, help="less memory, more time")
    parser.add_argument("--seed", type=int, metavar="N", help="of adapter and shuffles (default: that of params.yaml)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda; several GPUs: torchrun -m lorap tune ...")
    options.add_spec(parser)
    options.add_out(parser, "the folder to make")
    options.add_common(parser, run, "lorap tune --model small --data instructions.jsonl --form factored --out adapter")


def run(arguments: Namespace) -> None:
    """``lorap tune``; under torchrun every process runs it, and the first one writes."""
    from lorap.tuning.checkpoints import prepare_checkpoints
    from lorap.tuning.train import data_origin, train

    spec = parse_spec(TuneSpec, arguments.spec) if arguments.spec else _tune_spec(arguments)
    data = Path(arguments.data) if spec.source is None and arguments.data else None
    inputs = {"model": arguments.model} | ({"data": data} if data else {})
    checkpoints = hidden(arguments.out, "checkpoints")
    first = os.environ.get("RANK", "0") == "0"
    with (
        only_one(checkpoints) if first else nullcontext(),
        on_device(arguments.device, "--micro-batch (tune.NAME.micro_batch)") as device,
    ):
        if ":" in str(device):
            raise LorapError(f"--device {device}: expected auto, cpu or cuda; choose a GPU with CUDA_VISIBLE_DEVICES")
        origin = data_origin(spec)
        if first:
            ids = {role: artifact_id(path) for role, path in inputs.items()}
            if prepare_checkpoints(checkpoints, spec, ids):
                print(f"{checkpoints}: checkpoints of other settings or of another model, removed", file=sys.stderr)
        folder: Any = new_artifact(arguments.out, spec, inputs, str(device), folder=True, origin=origin)
        try:
            with folder if first else nullcontext() as out:
                train(spec, arguments.model, data, checkpoints, out, device.type, arguments.quiet)
        except LorapError:  # only a run that was cut short may go on; one at fault would fail again
            shutil.rmtree(checkpoints, ignore_errors=True)
            raise
        if first:
            shutil.rmtree(checkpoints)
    if first:
        announce(arguments.out)


def _tune_spec(arguments: Namespace) -> TuneSpec:
    params = load_params(arguments.params)
    chosen = lookup(params.tune, arguments.tuning, "tuning")
    names = [option.removeprefix("--").replace("-", "_") for option, _, _ in TUNE_OVERRIDES]
    names += ["form", "dtype", "gradient_checkpointing"]
    overrides = given(arguments, *names)
    source: CorpusSource | None = params.corpora[chosen.corpus]
    if arguments.data in params.corpora:
        overrides["corpus"], source = arguments.data, params.corpora[arguments.data]
    elif arguments.data is not None:
        if not Path(arguments.data).is_file():
            known = ", ".join(sorted(params.corpora))
            raise LorapError(f"--data: {arguments.data!r} is no file, and no corpus of {known}")
        overrides, source = {"held_out": OWN_HELD_OUT} | overrides | {"corpus": "file"}, None
    seed = params.seed if arguments.seed is None else arguments.seed
    return spec_from(TuneSpec, tune=checked(Tune, **(chosen.model_dump() | overrides)), source=source, seed=seed)
