"""``lorap plan``: what a method will do to a model, from its configuration alone."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lorap.api import plan
from lorap.cli import options
from lorap.cli.output import layer_lines, print_json
from lorap.errors import LorapError

if TYPE_CHECKING:
    from lorap.compression.planning import Plan


def add_options(parser: ArgumentParser) -> None:
    """The options of ``lorap plan``."""
    parser.add_argument("--model", type=Path, required=True, metavar="DIR_OR_CONFIG", help="folder or config.json")
    options.add_method(parser)
    options.add_form(parser)
    scores = "windows to score all units on, which some shares of the budget need"
    parser.add_argument("--calibration", type=Path, metavar="FILE", help=scores)
    parser.add_argument("--survey", type=Path, metavar="FILE", help="see 'lorap survey'; some shares need one")
    parser.add_argument("--tokens", type=int, default=64, metavar="N", help="length that MACs are for (default: 64)")
    options.add_json(parser)
    options.add_common(parser, run, "lorap plan --model models/smol --method lorap --sparsity 0.5")


def run(arguments: Namespace) -> None:
    """Prints the plan."""
    if arguments.tokens < 1:
        raise LorapError(f"--tokens: got {arguments.tokens}, expected at least 1")
    wanted = options.given(arguments, "method", "form", "params", "calibration", "survey") | options.overrides_of(
        arguments
    )
    sparsity = options.sparsity_of(arguments)
    found = plan(arguments.model, sparsity=sparsity, quiet=arguments.quiet, **wanted)
    if arguments.json:
        print_json(found.as_dict(arguments.tokens))
    else:
        print("\n".join(_lines(found, sparsity, arguments.tokens)))


def _lines(planned: "Plan", sparsity: float, tokens: int) -> Iterator[str]:
    """The plan for a person: totals, then runs of equal layers."""
    from lorap.model.counting import count_cache, count_macs, count_parameters

    was, now = count_parameters(planned.dense), count_parameters(planned.compressed)
    yield f"parameters  {was:,} -> {now:,} ({now / was:.1%})"
    macs = [count_macs(model, tokens) for model in (planned.dense, planned.compressed)]
    yield f"MACs        {macs[0]:,} -> {macs[1]:,} ({tokens} tokens)"
    cache = [count_cache(model) for model in (planned.dense, planned.compressed)]
    yield f"KV cache    {cache[0]:,} -> {cache[1]:,} numbers a token"
    yield f"linears     {planned.removed:.2%} of their weights removed, {sparsity:.2%} asked for"
    yield from (f"{span}  {text}" for span, text in layer_lines(zip(planned.layers, planned.shapes, strict=True)))
