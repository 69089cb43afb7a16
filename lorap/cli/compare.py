"""``lorap compare``: are the tables of a run those of git, but for rounding."""

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorap.cli import options
from lorap.cli.grids import grids_of
from lorap.cli.output import print_json
from lorap.errors import LorapError
from lorap.settings.config import load_params

if TYPE_CHECKING:
    from lorap.workflow.comparison import Comparison


def add_options(parser: ArgumentParser) -> None:
    """The options of ``lorap compare``."""
    options.add_grid(parser)
    options.add_results(parser)
    where = "git revision, whose results/ is read, or a folder such as results (default: HEAD)"
    parser.add_argument("--with", dest="reference", default="HEAD", metavar="REV_OR_FOLDER", help=where)
    share = "largest relative difference of two numbers that agree (default: 0.01)"
    parser.add_argument("--tolerance", type=float, default=0.01, metavar="SHARE", help=share)
    options.add_json(parser)
    options.add_common(parser, run, "lorap compare --grid demo --with HEAD --tolerance 0.01")


def run(arguments: Namespace) -> None:
    """Prints the differences; a LorapError says in how many places they lie beyond the tolerance."""
    if not (arguments.tolerance >= 0 and isfinite(arguments.tolerance)):
        raise LorapError(f"--tolerance: got {arguments.tolerance:g}, expected a share of at least 0, such as 0.01")
    params = load_params(arguments.params)
    found = {grid: _compare_grid(arguments, grid) for grid in grids_of(arguments.grid, params)}
    if arguments.json:
        print_json({grid: _as_json(comparison, arguments) for grid, comparison in found.items()})
    else:
        for grid, comparison in found.items():
            _print(grid, comparison, arguments)
    beyond = {grid: len(comparison.beyond) for grid, comparison in found.items()}
    if faults := [
        f"{grid}: differs from {arguments.reference} in {n} place{'s' * (n > 1)}" for grid, n in beyond.items() if n
    ]:
        raise LorapError("\n".join(faults))


def _compare_grid(arguments: Namespace, grid: str) -> "Comparison":
    from lorap.workflow.comparison import compare
    from lorap.workflow.snapshot import read_folder, read_revision

    reference = Path(arguments.reference)
    was = read_folder(reference, grid) if reference.is_dir() else read_revision(arguments.reference, grid)
    return compare(was, read_folder(arguments.results, grid), arguments.tolerance)


def _print(grid: str, comparison: "Comparison", arguments: Namespace) -> None:
    for difference in comparison.differences:
        print(f"{grid}: {difference}")
    if comparison.beyond and comparison.made_otherwise:
        print(f"{grid}: made with {', '.join(comparison.made_otherwise)}")
    print(f"{grid}: {comparison.summary(arguments.tolerance, arguments.reference)}")


def _as_json(comparison: "Comparison", arguments: Namespace) -> dict[str, Any]:
    differences = [asdict(difference) for difference in comparison.differences]
    for difference in differences:  # JSON has no infinity
        if difference["relative"] is not None and not isfinite(difference["relative"]):
            difference["relative"] = None
    return {
        "with": arguments.reference,
        "tolerance": arguments.tolerance,
        "numbers": comparison.numbers,
        "within": comparison.within,
        "differences": differences,
    }
