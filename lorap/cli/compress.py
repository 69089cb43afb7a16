"""``lorap compress``: compress a model."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from lorap.artifacts.meta import new_artifact
from lorap.artifacts.specs import CompressSpec
from lorap.cli import options
from lorap.cli.output import announce
from lorap.cli.work import given, method_of, on_device, recipe_of, sparsity_of, spec_from
from lorap.settings.config import load_params, parse_spec

EXAMPLE = "lorap compress --model models/smol --calibration calibration.safetensors --sparsity 0.2 --out small"


def add_options(parser: ArgumentParser) -> None:
    """The options of ``lorap compress``."""
    options.add_model(parser)
    parser.add_argument("--calibration", type=Path, required=True, metavar="FILE", help="see 'lorap calibrate'")
    options.add_method(parser)
    options.add_form(parser)
    parser.add_argument("--dtype", help="float32, float16, bfloat16 or auto, the model's own (default: auto)")
    options.add_batch(parser)
    parser.add_argument("--offload", action="store_true", default=None, help="keep activations in the CPU's memory")
    options.add_device(parser)
    options.add_spec(parser)
    options.add_out(parser, "the folder to make")
    options.add_common(parser, run, EXAMPLE)


def run(arguments: Namespace) -> None:
    """``lorap compress``."""
    from lorap.compression.run import compress as compress_model
    from lorap.data.calibration import read_calibration
    from lorap.model.folder import DTYPES, find_tokenizer

    spec = parse_spec(CompressSpec, arguments.spec) if arguments.spec else _compress_spec(arguments)
    recipe = recipe_of(spec.method, spec.sparsity)
    input_ids = read_calibration(arguments.calibration, find_tokenizer(arguments.model))
    inputs = {"model": arguments.model, "calibration": arguments.calibration}
    with (
        on_device(arguments.device, "--batch (compress.batch)") as device,
        new_artifact(arguments.out, spec, inputs, str(device), folder=True) as folder,
    ):
        compress_model(
            arguments.model,
            input_ids,
            recipe,
            folder,
            form=spec.form,
            dtype=DTYPES.get(spec.dtype),
            device=device,
            batch=spec.batch,
            offload=spec.offload,
            quiet=arguments.quiet,
        )
    announce(arguments.out)


def _compress_spec(arguments: Namespace) -> CompressSpec:
    params = load_params(arguments.params)
    return spec_from(
        CompressSpec,
        method=method_of(arguments, params),
        sparsity=sparsity_of(arguments),
        **(params.compress.model_dump() | given(arguments, "form", "dtype", "batch", "offload")),
    )
