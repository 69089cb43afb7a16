"""``lorap survey``: measure what every piece of a model's layers loses when it gets smaller."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from lorap.api import chosen, jobs
from lorap.artifacts.specs import SurveySpec
from lorap.cli import options
from lorap.cli.output import announce
from lorap.settings.config import parse_spec


def add_options(parser: ArgumentParser) -> None:
    """The options of ``lorap survey``."""
    options.add_model(parser)
    parser.add_argument("--calibration", type=Path, required=True, metavar="FILE", help="see 'lorap calibrate'")
    parser.add_argument("--windows", type=int, metavar="N", help="of the calibration to look at (default all)")
    parser.add_argument("--dtype", help="to compute in: float32, float16, bfloat16 or auto, the model's own")
    options.add_batch(parser)
    options.add_offload(parser)
    options.add_device(parser)
    options.add_spec(parser)
    options.add_out(parser, "the safetensors file to make")
    options.add_common(
        parser, run, "lorap survey --model models/smol --calibration calibration.safetensors --out survey.safetensors"
    )


def run(arguments: Namespace) -> None:
    """Makes the survey."""
    if arguments.spec:
        spec = parse_spec(SurveySpec, arguments.spec)
    else:
        spec = chosen.survey_spec(arguments.params, **options.given(arguments, "windows", "dtype", "batch", "offload"))
    jobs.survey_model(spec, arguments.model, arguments.calibration, arguments.out, arguments.device, arguments.quiet)
    announce(arguments.out)
