"""``lorap export``: make a stock checkpoint of a factored model, for any runtime."""

from argparse import ArgumentParser, Namespace

from lorap.api import chosen, jobs
from lorap.cli import options
from lorap.cli.output import announce


def add_options(parser: ArgumentParser) -> None:
    """The options of ``lorap export``."""
    options.add_model(parser)
    parser.add_argument("--form", choices=["dense"], default="dense", help="multiplied out (default and only one)")
    options.add_out(parser, "the folder to make")
    options.add_common(parser, run, "lorap export --model small --out small-dense")


def run(arguments: Namespace) -> None:
    """Makes the checkpoint."""
    jobs.export_model(chosen.export_spec(arguments.form), arguments.model, arguments.out)
    announce(arguments.out)
