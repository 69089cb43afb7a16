"""``lorap compress``: compress a model."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from lorap.api import chosen, jobs
from lorap.artifacts.specs import CompressSpec
from lorap.cli import options
from lorap.cli.output import announce
from lorap.settings.config import parse_spec

EXAMPLE = "lorap compress --model models/smol --calibration calibration.safetensors --sparsity 0.2 --out small"


def add_options(parser: ArgumentParser) -> None:
    """The options of ``lorap compress``."""
    options.add_model(parser)
    parser.add_argument("--calibration", type=Path, required=True, metavar="FILE", help="see 'lorap calibrate'")
    parser.add_argument("--survey", type=Path, metavar="FILE", help="see 'lorap survey'; some methods need one")
    options.add_method(parser)
    options.add_form(parser)
    parser.add_argument("--dtype", help="float32, float16, bfloat16 or auto, the model's own (default: auto)")
    options.add_batch(parser)
    options.add_offload(parser)
    options.add_device(parser)
    options.add_spec(parser)
    options.add_out(parser, "the folder to make")
    options.add_common(parser, run, EXAMPLE)


def run(arguments: Namespace) -> None:
    """Compresses the model."""
    spec = parse_spec(CompressSpec, arguments.spec) if arguments.spec else _chosen(arguments)
    files = (arguments.model, arguments.calibration, arguments.survey, arguments.out)
    jobs.compress_model(spec, *files, arguments.device, arguments.quiet)
    announce(arguments.out)


def _chosen(arguments: Namespace) -> CompressSpec:
    overrides = options.overrides_of(arguments)
    how = options.given(arguments, "form", "dtype", "batch", "offload")
    sparsity = options.sparsity_of(arguments)
    return chosen.compress_spec(arguments.method, sparsity, overrides, arguments.params, **how)
