"""The commands that keep results honest: verify and prune."""

import shutil
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from lorap.artifacts import STEPS, Artifact, artifacts, fault, strays
from lorap.config import load_params, lookup
from lorap.errors import LorapError
from lorap.provenance import meta_beside
from lorap.schema import Params


def verify(arguments: Namespace) -> None:
    """``lorap verify``."""
    params = load_params(arguments.params)
    faults = []
    for name in _grids(params, arguments):
        found = list(_chosen(params, name, arguments))
        wrong = [f"{artifact.path}: {what}" for artifact in found if (what := fault(artifact, arguments.bytes))]
        print(f"{name}: {len(found) - len(wrong)} of {len(found)} artifacts are what params.yaml says")
        faults += wrong
    if faults:
        raise LorapError("\n".join(faults))


def prune(arguments: Namespace) -> None:
    """``lorap prune``."""
    params = load_params(arguments.params)
    for name in _grids(params, arguments):
        found = strays(params, name, arguments.results)
        for path in found:
            if arguments.remove:
                _remove(path)
            print(f"{path}: {'removed' if arguments.remove else 'of no cell of the grid'}")
        if found and not arguments.remove:
            print(f"{name}: {len(found)} strays; 'lorap prune --remove' removes them")


def _grids(params: Params, arguments: Namespace) -> list[str]:
    names = [arguments.grid] if arguments.grid else params.active
    for name in names:
        lookup(params.grids, name, "grid")
    return names


def _chosen(params: Params, name: str, arguments: Namespace) -> Iterator[Artifact]:
    """The artifacts of a grid, or of one of its steps."""
    if arguments.step is not None and arguments.step not in STEPS:
        raise LorapError(f"--step: unknown step {arguments.step!r}, expected one of {', '.join(STEPS)}")
    for artifact in artifacts(params, name, arguments.results):
        if arguments.step in (None, artifact.path.relative_to(arguments.results / name).parts[0]):
            yield artifact


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
        return
    path.unlink(missing_ok=True)
    meta_beside(path).unlink()
