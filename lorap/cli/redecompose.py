"""``lorap redecompose``: join an adapter to the factors of its model."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from lorap.artifacts.meta import new_artifact
from lorap.artifacts.specs import RedecomposeSpec
from lorap.cli import options
from lorap.cli.output import announce
from lorap.cli.work import model_inputs, on_device, spec_from
from lorap.errors import LorapError
from lorap.settings.config import load_params, parse_spec


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
    """``lorap redecompose``."""
    from lorap.data.calibration import read_calibration
    from lorap.model.folder import find_tokenizer
    from lorap.tuning.rejoin import redecompose as factor_again

    if arguments.spec:
        spec = parse_spec(RedecomposeSpec, arguments.spec)
    else:
        rank = int(arguments.rank) if arguments.rank.isdecimal() else arguments.rank
        if rank not in ("k+r", "k") and not (isinstance(rank, int) and rank > 0):
            raise LorapError(f"--rank: got {arguments.rank!r}, expected k+r, k or a whole number of at least 1")
        batch = load_params(arguments.params).compress.batch if arguments.batch is None else arguments.batch
        spec = spec_from(RedecomposeSpec, rank=rank, batch=batch)
    inputs, input_ids = model_inputs(arguments), None
    if arguments.calibration and spec.rank != "k+r":  # exact joining weighs nothing
        inputs["calibration"] = arguments.calibration
        input_ids = read_calibration(arguments.calibration, find_tokenizer(arguments.model))
    with (
        on_device(arguments.device, "--batch (compress.batch)") as device,
        new_artifact(arguments.out, spec, inputs, str(device), folder=True) as folder,
    ):
        factor_again(spec, arguments.model, arguments.adapter, input_ids, folder, device, arguments.quiet)
    announce(arguments.out)
