"""``lorap prune``: list or remove artifacts that belong to no cell of a grid."""

import shutil
from argparse import ArgumentParser, Namespace
from pathlib import Path

from lorap.artifacts.meta import meta_beside
from lorap.cli import options
from lorap.cli.grids import grids_of
from lorap.settings.config import load_params
from lorap.workflow.expected import strays


def add_options(parser: ArgumentParser) -> None:
    """The options of ``lorap prune``."""
    options.add_grid(parser)
    options.add_results(parser)
    parser.add_argument("--remove", action="store_true", help="remove them, not only list them")
    options.add_common(parser, run, "lorap prune --grid demo --remove")


def run(arguments: Namespace) -> None:
    """Prints every stray, and removes it where that is asked for."""
    params = load_params(arguments.params)
    for name in grids_of(arguments.grid, params):
        found = strays(params, name, arguments.results)
        for path in found:
            if arguments.remove:
                _remove(path)
            print(f"{path}: {'removed' if arguments.remove else 'belongs to no cell of the grid'}")
        if found and not arguments.remove:
            print(f"{name}: {len(found)} strays; 'lorap prune --remove' removes them")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
        return
    path.unlink(missing_ok=True)
    meta_beside(path).unlink(missing_ok=True)
