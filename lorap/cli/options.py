"""The options that commands share."""

import os
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter, _SubParsersAction
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorap.errors import LorapError

if TYPE_CHECKING:
    from lorap.methods.registry import MethodOption


def add_command(commands: "_SubParsersAction[ArgumentParser]", name: str, purpose: str) -> ArgumentParser:
    """Adds a command; its options are still to come."""
    about = f"{purpose[0].upper()}{purpose[1:]}."
    return commands.add_parser(name, help=purpose, description=about, formatter_class=RawDescriptionHelpFormatter)


def add_common(parser: ArgumentParser, run: Callable[[Namespace], None], example: str) -> None:
    """What every command has: the function that runs it, an example, its settings and its progress bars."""
    parser.set_defaults(run=run)
    parser.epilog = f"example:\n  {example}"
    parser.add_argument("--params", type=Path, metavar="FILE", help="settings (default: ./params.yaml, if there)")
    quiet = not sys.stderr.isatty() or bool(os.environ.get("CI"))
    parser.add_argument("--quiet", action="store_true", default=quiet, help="no progress bars (default off a terminal)")


def add_out(parser: ArgumentParser, what: str) -> None:
    """Where the result goes."""
    parser.add_argument("--out", type=Path, required=True, metavar="PATH", help=what)


def add_spec(parser: ArgumentParser) -> None:
    """All settings at once, as the workflow gives them."""
    parser.add_argument("--spec", metavar="JSON", help="all settings at once, as the workflow gives them")


def add_model(parser: ArgumentParser) -> None:
    """The model folder."""
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="model folder, see 'lorap fetch'")


def add_device(parser: ArgumentParser) -> None:
    """Where to compute."""
    parser.add_argument("--device", default="auto", help="auto (CUDA where there is one), cpu, cuda, cuda:1, ...")


def add_batch(parser: ArgumentParser) -> None:
    """How much is computed at once."""
    about = "windows a forward pass; lower it when out of memory"
    parser.add_argument("--batch", type=_number_or_name, metavar="N|auto", help=about)


def _number_or_name(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def add_offload(parser: ArgumentParser) -> None:
    """Where activations are kept."""
    about = "keep activations in the CPU's memory; with 'disk' in a file beside the output"
    parser.add_argument("--offload", nargs="?", const=True, metavar="disk", help=about)


def add_json(parser: ArgumentParser) -> None:
    """JSON in place of words."""
    parser.add_argument("--json", action="store_true", help="print JSON alone")


def add_corpus(parser: ArgumentParser) -> None:
    """A corpus by name, or a text file."""
    parser.add_argument("--corpus", metavar="NAME", help="corpus of params.yaml; with --text only a label")
    parser.add_argument("--text", type=Path, metavar="FILE", help="a text file of your own, plain or .gz")


def add_method(parser: ArgumentParser) -> None:
    """A method, its sparsity, and settings in place of the method's own."""
    parser.add_argument("--method", default="lorap", metavar="NAME", help="method of params.yaml (default: lorap)")
    parser.add_argument("--sparsity", type=float, metavar="S", help="fraction of the weights to remove, in [0, 1)")
    override = parser.add_argument_group("in place of the method's own settings")
    for option in method_options():
        flag, metavar = f"--{option.name.replace('_', '-')}", "|".join(option.choices) or option.name[0].upper()
        override.add_argument(flag, type=option.type, metavar=metavar, help=option.help)


def method_options() -> "list[MethodOption]":
    """The options that say what a method does, as its parts have them."""
    from lorap.methods.registry import options

    return options()


def overrides_of(arguments: Namespace) -> dict[str, Any]:
    """Those of them that were given."""
    return given(arguments, *(option.name for option in method_options()))


def add_form(parser: ArgumentParser) -> None:
    """How the result is stored."""
    parser.add_argument("--form", metavar="factored|dense", help="factors, or multiplied out (default: factored)")


def add_grid(parser: ArgumentParser) -> None:
    """A grid."""
    parser.add_argument("--grid", metavar="NAME", help="grid of params.yaml (default: the active ones)")


def add_results(parser: ArgumentParser) -> None:
    """Where the results of all grids are."""
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="(default: results)")


def add_bytes(parser: ArgumentParser) -> None:
    """How closely to look."""
    parser.add_argument("--bytes", action="store_true", help="hash every file again")


def given(arguments: Namespace, *names: str) -> dict[str, Any]:
    """The options of these names that were given, or have a default."""
    return {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}


def sparsity_of(arguments: Namespace) -> float:
    """The sparsity, which only a whole spec may replace."""
    if arguments.sparsity is None:
        raise LorapError("--sparsity: missing, expected a number in [0, 1)")
    sparsity: float = arguments.sparsity
    return sparsity
