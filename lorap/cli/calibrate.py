"""``lorap calibrate``: draw calibration windows from a text."""

from argparse import ArgumentParser, Namespace

from lorap.api import chosen, jobs
from lorap.artifacts.specs import CalibrateSpec
from lorap.cli import options
from lorap.cli.output import announce
from lorap.settings.config import parse_spec


def add_options(parser: ArgumentParser) -> None:
    """The options of ``lorap calibrate``."""
    options.add_model(parser)
    options.add_corpus(parser)
    parser.add_argument("--nsamples", type=int, default=128, metavar="N", help="windows (default: 128)")
    parser.add_argument("--seqlen", type=int, default=128, metavar="N", help="tokens a window (default: 128)")
    parser.add_argument("--seed", type=int, metavar="N", help="of the draws (default: that of params.yaml)")
    options.add_spec(parser)
    options.add_out(parser, "the safetensors file to make")
    options.add_common(parser, run, "lorap calibrate --model models/smol --text book.txt --out calibration.safetensors")


def run(arguments: Namespace) -> None:
    """Makes the calibration file."""
    if arguments.spec:
        spec = parse_spec(CalibrateSpec, arguments.spec)
    else:
        windows = (arguments.nsamples, arguments.seqlen, arguments.seed)
        spec = chosen.calibrate_spec(arguments.text, arguments.corpus, *windows, arguments.params)
    jobs.make_calibration(spec, arguments.model, arguments.text, arguments.out)
    announce(arguments.out)
