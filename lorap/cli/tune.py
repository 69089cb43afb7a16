"""``lorap tune``: tune a LoRA adapter for a compressed model."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path

from lorap.api import chosen
from lorap.api.tuning_job import is_first, tune_model
from lorap.artifacts.specs import TuneSpec
from lorap.cli import options
from lorap.cli.output import announce
from lorap.settings.config import parse_spec

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
    """Tunes the adapter; under torchrun every process runs this, and the first one speaks."""
    spec = parse_spec(TuneSpec, arguments.spec) if arguments.spec else _chosen(arguments)
    data = Path(arguments.data) if arguments.data else None
    tune_model(spec, arguments.model, data, arguments.out, arguments.device, arguments.quiet)
    if is_first():
        announce(arguments.out)


def _chosen(arguments: Namespace) -> TuneSpec:
    names = [option.removeprefix("--").replace("-", "_") for option, _, _ in TUNE_OVERRIDES]
    overrides = options.given(arguments, *names, "form", "dtype", "gradient_checkpointing")
    return chosen.tune_spec(arguments.tuning, arguments.data, overrides, arguments.seed, arguments.params)
