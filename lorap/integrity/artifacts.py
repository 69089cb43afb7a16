"""Every artifact that a grid should have, each after those that it is made of; no torch here."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lorap import grid as plan
from lorap.files import META, owner_of
from lorap.grid import ADAPTER, Cell
from lorap.provenance import meta_beside
from lorap.schema import Grid, Params
from lorap.specs import Spec

MEASURES = ("cost.json", "perplexity.json", "zeroshot.json")
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
    yield Artifact(report, report / META, folder, plan.report_spec(params, name), sources)


def name_in(folder: Path, path: Path) -> str:
    """What an artifact is called in a report: its place below the grid's folder; a model goes without its .json."""
    place = path.relative_to(folder)
    return str(place.with_suffix("") if place.parts[0] == "models" else place)


def _sources(params: Params, grid: Grid, folder: Path) -> Iterator[Artifact]:
    """All that a report is made from."""
    for model in grid.models:
        manifest = _manifest(folder, model)
        yield Artifact(manifest, manifest, folder, plan.fetch_spec(params, model))
    for model, calibration in plan.calibrations(grid):
        file = folder / "calibrate" / model / f"{calibration}.safetensors"
        yield _file(file, plan.calibrate_spec(params, calibration), {"model": _manifest(folder, model)})
    for cell in plan.compressed_cells(grid):
        spec = plan.compress_spec(params, str(cell.method), cell.sparsity)
        yield _folder(folder / "compress" / cell.path, spec, _compressed_from(folder, cell))
    for cell in plan.tuned_cells(grid):
        base = {"model": _compressed(folder, cell)}
        yield _folder(folder / "tune" / cell.path, plan.tune_spec(params, str(cell.tuning)), base)
    for cell in plan.redecomposed_cells(grid):
        rank = plan.redecompose_spec(params, str(cell.kept_as))
        yield _folder(folder / "redecompose" / cell.path, rank, _redecomposed_from(folder, cell))
    for cell in plan.all_cells(grid):
        suite = plan.suite_spec(params, grid, cell)
        for measure in MEASURES:
            yield _file(folder / "evaluate" / cell.path / measure, suite, _measured_from(folder, cell))
    for model in grid.models:
        sources = {"model": _manifest(folder, model), "calibration": _calibration(folder, model, grid.calibration)}
        yield _file(folder / "evaluate" / model / "spectra.json", plan.spectra_spec(params), sources)


def strays(params: Params, name: str, results: Path) -> list[Path]:
    """What lies below a grid's folder and is not the grid's.

    These are artifacts, which are folders or files that have a meta beside them, and what a killed job left of one.
    """
    known = {artifact.path for artifact in artifacts(params, name, results)}
    found = []
    for step in STEPS:
        for meta in sorted((results / name / step).rglob(f"*{META}")):
            path = meta.parent if meta.name == META else _described(meta)
            if path not in known and not _is_hidden(path):
                found.append(path)
        for path in sorted((results / name / step).rglob(".*")):
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


def _manifest(folder: Path, model: str) -> Path:
    return folder / "models" / f"{model}.json"


def _calibration(folder: Path, model: str, calibration: Any) -> Path:
    return meta_beside(folder / "calibrate" / model / f"{calibration}.safetensors")


def _compressed(folder: Path, cell: Cell) -> Path:
    return folder / "compress" / cell.compressed.path / META


def _compressed_from(folder: Path, cell: Cell) -> dict[str, Path]:
    calibration = _calibration(folder, cell.model, cell.calibration)
    return {"model": _manifest(folder, cell.model), "calibration": calibration}


def _redecomposed_from(folder: Path, cell: Cell) -> dict[str, Path]:
    inputs = {"model": _compressed(folder, cell), "adapter": folder / "tune" / cell.tuned.path / META}
    if cell.kept_as == "truncated":
        inputs["calibration"] = _calibration(folder, cell.model, cell.calibration)
    return inputs


def _measured_from(folder: Path, cell: Cell) -> dict[str, Path]:
    if cell.method is None:
        return {"model": _manifest(folder, cell.model)}
    if cell.kept_as == ADAPTER:
        return {"model": _compressed(folder, cell), "adapter": folder / "tune" / cell.tuned.path / META}
    step = "redecompose" if cell.kept_as else "compress"
    return {"model": folder / step / cell.path / META}
