"""``lorap redecompose``: join an adapter to the factors of its model."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from lorap.api import chosen, jobs
from lorap.artifacts.specs import RedecomposeSpec
from lorap.cli import options
from lorap.cli.output import announce
from lorap.settings.config import parse_spec


def add_options(parser: ArgumentParser) -> None:
    """The options of ``lorap redecompose``."""
    options.add_model(parser)
    parser.add_argument("--adapter", type=Path, required=True, metavar="DIR", help="of this model, see 'lorap tune'")
    parser.add_argument("--rank", default="k+r", metavar="k+r|k|N", help="k+r is exact, k or a number truncates")
    parser.add_argument("--calibration", type=Path, metavar="FILE", help="activations that weigh a truncation")
    options.add_batch(parser)
    options.add_device(parser)
    options.add_spec(parser)
    options.add_out(parser, "the folder to make")
    options.add_common(parser, run, "lorap redecompose --model small --adapter adapter --out tuned")


def run(arguments: Namespace) -> None:
    """Joins the adapter to the factors."""
    if arguments.spec:
        spec = parse_spec(RedecomposeSpec, arguments.spec)
    else:
        spec = chosen.redecompose_spec(arguments.rank, arguments.batch, arguments.params)
    inputs = (arguments.model, arguments.adapter, arguments.calibration)
    jobs.redecompose_model(spec, *inputs, arguments.out, arguments.device, arguments.quiet)
    announce(arguments.out)
