"""Every artifact that a grid should have, each after those that it is made of; no torch here."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lorap.artifacts import names, places
from lorap.artifacts.grid import (
    ADAPTER,
    Cell,
    all_cells,
    calibrate_spec,
    calibrations,
    compress_spec,
    compressed_cells,
    fetch_spec,
    redecompose_spec,
    redecomposed_cells,
    report_spec,
    spectra_spec,
    suite_spec,
    tune_spec,
    tuned_cells,
)
from lorap.artifacts.meta import meta_beside
from lorap.artifacts.names import META
from lorap.artifacts.specs import Spec
from lorap.files import owner_of
from lorap.settings.schema import Grid, Params

STEPS = ("models", "calibrate", "compress", "tune", "redecompose", "evaluate", "report")


@dataclass(frozen=True)
class Artifact:
    """What a step makes: a folder, or a file with its meta beside it.

    ``inputs`` are the metas of what it is made of, by role. ``root`` is where the files are that the meta lists.
    """

    path: Path
    meta: Path
    root: Path
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
    sources = {}
    for artifact in _sources(params, params.grids[name], folder):
        sources[name_in(folder, artifact.path)] = artifact.meta
        yield artifact
    report = folder / "report"
    yield Artifact(report, report / META, folder, report_spec(params, name), sources)


def name_in(folder: Path, path: Path) -> str:
    """What an artifact is called in a report: its place below the grid's folder; a model goes without its .json."""
    place = path.relative_to(folder)
    return str(place.with_suffix("") if place.parts[0] == "models" else place)


def _sources(params: Params, grid: Grid, folder: Path) -> Iterator[Artifact]:
    """All that a report is made from."""
    for model in grid.models:
        manifest = folder / places.manifest(model)
        yield Artifact(manifest, manifest, folder, fetch_spec(params, model))
    for model, name in calibrations(grid):
        file = folder / places.calibration(model, name)
        yield _file(file, calibrate_spec(params, name), {"model": folder / places.manifest(model)})
    for cell in compressed_cells(grid):
        spec = compress_spec(params, str(cell.method), cell.sparsity)
        yield _folder(folder / places.compressed(cell), spec, _compressed_from(folder, cell))
    for cell in tuned_cells(grid):
        base = {"model": _compressed(folder, cell)}
        yield _folder(folder / places.tuned(cell), tune_spec(params, str(cell.tuning)), base)
    for cell in redecomposed_cells(grid):
        rank = redecompose_spec(params, str(cell.kept_as))
        yield _folder(folder / places.redecomposed(cell), rank, _redecomposed_from(folder, cell))
    for cell in all_cells(grid):
        suite = suite_spec(params, grid, cell)
        for measurement in names.MEASUREMENTS:
            yield _file(folder / places.measured(cell) / measurement, suite, _measured_from(folder, cell))
    for model in grid.models:
        sources = {
            "model": folder / places.manifest(model),
            "calibration": _calibration(folder, model, grid.calibration),
        }
        yield _file(folder / places.spectra(model), spectra_spec(params), sources)


def strays(params: Params, name: str, results: Path) -> list[Path]:
    """What lies below a grid's folder and is not the grid's.

    These are artifacts, which are folders or files that have a meta beside them, and what a killed job left of one.
    """
    folder = results / name
    known = {artifact.path for artifact in artifacts(params, name, results)}
    known |= {folder / places.base(model) for model in params.grids[name].models}
    found = [path for path in sorted((folder / STEPS[0]).glob("[!.]*")) if path not in known]  # these need no meta
    for step in STEPS[1:]:
        for meta in sorted((folder / step).rglob(f"*{META}")):
            path = meta.parent if meta.name == META else _described(meta)
            if path not in known and path != meta and not _is_hidden(path):
                found.append(path)
    for step in STEPS:
        for path in sorted((folder / step).rglob(".*")):
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


def _file(path: Path, spec: Spec, inputs: dict[str, Path]) -> Artifact:
    return Artifact(path, meta_beside(path), path.parent, spec, inputs)


def _folder(path: Path, spec: Spec, inputs: dict[str, Path]) -> Artifact:
    return Artifact(path, path / META, path, spec, inputs)


def _calibration(folder: Path, model: str, name: str | None) -> Path:
    return meta_beside(folder / places.calibration(model, name))


def _compressed(folder: Path, cell: Cell) -> Path:
    return folder / places.compressed(cell) / META


def _adapter(folder: Path, cell: Cell) -> Path:
    return folder / places.tuned(cell) / META


def _compressed_from(folder: Path, cell: Cell) -> dict[str, Path]:
    calibration = _calibration(folder, cell.model, cell.calibration)
    return {"model": folder / places.manifest(cell.model), "calibration": calibration}


def _redecomposed_from(folder: Path, cell: Cell) -> dict[str, Path]:
    inputs = {"model": _compressed(folder, cell), "adapter": _adapter(folder, cell)}
    if cell.kept_as == "truncated":
        inputs["calibration"] = _calibration(folder, cell.model, cell.calibration)
    return inputs


def _measured_from(folder: Path, cell: Cell) -> dict[str, Path]:
    if cell.method is None:
        return {"model": folder / places.manifest(cell.model)}
    if cell.kept_as == ADAPTER:
        return {"model": _compressed(folder, cell), "adapter": _adapter(folder, cell)}
    return {"model": folder / places.redecomposed(cell) / META if cell.kept_as else _compressed(folder, cell)}
