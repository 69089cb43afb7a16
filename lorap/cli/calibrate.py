"""``lorap calibrate``: draw calibration windows from a text."""

from argparse import ArgumentParser, Namespace

from lorap.artifacts.meta import new_artifact
from lorap.artifacts.specs import CalibrateSpec
from lorap.cli import options
from lorap.cli.output import announce
from lorap.cli.work import corpus_of, spec_from
from lorap.settings.config import load_params, parse_spec


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
    """``lorap calibrate``."""
    from lorap.data.draw import calibrate as make_calibration
    from lorap.model.folder import load_tokenizer

    spec = parse_spec(CalibrateSpec, arguments.spec) if arguments.spec else _calibrate_spec(arguments)
    inputs = {"model": arguments.model} | ({"text": arguments.text} if arguments.text else {})
    tokenizer = load_tokenizer(arguments.model)
    origin: dict[str, str] = {}
    with new_artifact(arguments.out, spec, inputs, origin=origin) as file:
        origin |= make_calibration(spec, tokenizer, arguments.text, file)
    announce(arguments.out)


def _calibrate_spec(arguments: Namespace) -> CalibrateSpec:
    params = load_params(arguments.params)
    return spec_from(
        CalibrateSpec,
        **corpus_of(arguments, params.corpora),
        nsamples=arguments.nsamples,
        seqlen=arguments.seqlen,
        seed=params.seed if arguments.seed is None else arguments.seed,
    )
