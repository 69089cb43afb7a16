"""``lorap plan``: what a method will do to a model, from its configuration alone."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from lorap.cli import options
from lorap.cli.output import print_json
from lorap.cli.work import checked, given, method_of, recipe_of, sparsity_of
from lorap.errors import LorapError
from lorap.settings.config import load_params
from lorap.settings.schema import Compress


def add_options(parser: ArgumentParser) -> None:
    """The options of ``lorap plan``."""
    parser.add_argument("--model", type=Path, required=True, metavar="DIR_OR_CONFIG", help="folder or config.json")
    options.add_method(parser)
    options.add_form(parser)
    parser.add_argument("--tokens", type=int, default=64, metavar="N", help="length that MACs are for (default: 64)")
    options.add_json(parser)
    options.add_common(parser, run, "lorap plan --model models/smol --method lorap --sparsity 0.5")


def run(arguments: Namespace) -> None:
    """``lorap plan``."""
    from lorap.compression.planning import describe_plan, plan_model
    from lorap.model.folder import read_config

    if arguments.tokens < 1:
        raise LorapError(f"--tokens: got {arguments.tokens}, expected at least 1")
    params = load_params(arguments.params)
    form = checked(Compress, **(params.compress.model_dump() | given(arguments, "form"))).form
    recipe = recipe_of(method_of(arguments, params), sparsity_of(arguments))
    found = plan_model(read_config(arguments.model), recipe, form)
    if arguments.json:
        print_json(found.as_dict(arguments.tokens))
    else:
        print(describe_plan(found, arguments.tokens))
