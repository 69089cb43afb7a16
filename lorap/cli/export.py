"""``lorap export``: make a stock checkpoint of a factored model, for any runtime."""

from argparse import ArgumentParser, Namespace

from lorap.artifacts.meta import new_artifact
from lorap.artifacts.specs import ExportSpec
from lorap.cli import options
from lorap.cli.output import announce
from lorap.cli.work import spec_from


def add_options(parser: ArgumentParser) -> None:
    """The options of ``lorap export``."""
    options.add_model(parser)
    parser.add_argument("--form", choices=["dense"], default="dense", help="multiplied out (default and only one)")
    options.add_out(parser, "the folder to make")
    options.add_common(parser, run, "lorap export --model small --out small-dense")


def run(arguments: Namespace) -> None:
    """``lorap export``."""
    from lorap.compression.dense import export_dense

    spec = spec_from(ExportSpec, form=arguments.form)
    with new_artifact(arguments.out, spec, {"model": arguments.model}, folder=True) as folder:
        export_dense(arguments.model, folder)
    announce(arguments.out)
