"""Every artifact that a grid should have, each after those that it is made of; no torch here."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lorap.artifacts.grid import Cell
from lorap.artifacts.names import META
from lorap.artifacts.places import jobs, output
from lorap.artifacts.specs import Spec
from lorap.artifacts.step import Methods, Step
from lorap.artifacts.steps import STAGES
from lorap.files import owner_of
from lorap.settings.schema import Params


@dataclass(frozen=True)
class Artifact:
    """What a step makes: a folder, or a file with its meta beside it.

    ``inputs`` are the metas of what it is made of, by role. ``root`` is where the files are that the meta lists;
    ``name`` is what a report calls it.
    """

    path: Path
    meta: Path
    root: Path
    name: str
    spec: Spec
    inputs: dict[str, Path] = field(default_factory=dict)


def artifacts(params: Params, name: str, results: Path) -> Iterator[Artifact]:
    """Every artifact of a grid, its report last.

    A base model is known by its manifest, since a pulled checkout may lack its weights.

    Args:
        params: The settings.
        name: The grid's.
        results: The folder that holds the results of all grids.
    """
    folder = results / name
    made: dict[str, Path] = {}
    for step, cell in jobs(params.grids[name], params.methods):
        spec = step.spec(params, name, cell)
        inputs = dict(made) if step.takes_all else _inputs(step, cell, params.methods, folder)
        for one in (each.of(cell) for each in step.outputs):
            made[one.name] = folder / one.meta
            yield Artifact(folder / one.path, folder / one.meta, folder / one.root, one.name, spec, inputs)


def _inputs(step: Step, cell: Cell, methods: Methods, folder: Path) -> dict[str, Path]:
    """The metas of what a step takes of one cell, by role."""
    taken = {role: source for role, source in step.inputs.items() if role not in step.unused(cell, methods)}
    return {role: folder / output(source, cell).meta for role, source in taken.items()}


def strays(params: Params, name: str, results: Path) -> list[Path]:
    """What lies below a grid's folder and is not the grid's.

    These are artifacts, which are folders or files that have a meta beside them, and what a killed job left of one.
    """
    folder = results / name
    known = {path for a in artifacts(params, name, results) for path in (a.path, folder / a.name)}
    models, *stages = STAGES
    found = [path for path in sorted((folder / models).glob("[!.]*")) if path not in known]  # these need no meta
    for stage in stages:
        for meta in sorted((folder / stage).rglob(f"*{META}")):
            path = meta.parent if meta.name == META else _described(meta)
            if path not in known and path != meta and not _is_hidden(path):
                found.append(path)
    for stage in STAGES:
        for path in sorted((folder / stage).rglob(".*")):
            owner = owner_of(path)
            if owner is not None and _described(owner) not in known and not _is_hidden(path.parent):
                found.append(path)
    return found


def _is_hidden(path: Path) -> bool:
    """Whether a path is, or lies in, what only a running job needs."""
    return any(owner_of(part) is not None for part in (path, *path.parents))


def _described(meta: Path) -> Path:
    """The file that a meta stands beside."""
    return meta.with_name(meta.name.removesuffix(f".{META}"))
