"""Every artifact that a grid should have, and whether what is on disk is that; no torch here."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lorap import grid as plan
from lorap.files import META, read_json, sha256_file
from lorap.grid import ADAPTER, Cell
from lorap.provenance import content_id, meta_beside
from lorap.schema import Params
from lorap.specs import Spec

MEASURES = ("cost.json", "perplexity.json", "zeroshot.json")
STEPS = ("models", "calibrate", "compress", "tune", "redecompose", "evaluate")  # folders of a grid's artifacts


@dataclass(frozen=True)
class Artifact:
    """A folder, or a file with its meta beside it, that a step makes.

    ``inputs`` are the metas of what it is made of, by role.
    """

    path: Path
    meta: Path
    spec: Spec
    inputs: dict[str, Path] = field(default_factory=dict)


def artifacts(params: Params, name: str, results: Path) -> Iterator[Artifact]:
    """Every artifact of a grid, each after those that it is made of.

    A base model is known by its manifest, since a pulled checkout may lack its weights.

    Args:
        params: The settings.
        name: The grid's.
        results: The folder that holds the results of all grids.
    """
    grid, folder = params.grids[name], results / name
    for model in grid.models:
        manifest = _manifest(folder, model)
        yield Artifact(manifest, manifest, plan.fetch_spec(params, model))
    for model, calibration in plan.calibrations(grid):
        file = folder / "calibrate" / model / f"{calibration}.safetensors"
        yield _file(file, plan.calibrate_spec(params, calibration), {"model": _manifest(folder, model)})
    for cell in plan.compressed_cells(grid):
        yield _folder(folder / "compress" / cell.path, _compress_spec(params, cell), _compressed_from(folder, cell))
    for cell in plan.tuned_cells(grid):
        base = {"model": _compressed(folder, cell)}
        yield _folder(folder / "tune" / cell.path, plan.tune_spec(params, str(cell.tuning)), base)
    for cell in plan.redecomposed_cells(grid):
        spec = plan.redecompose_spec(params, str(cell.kept_as))
        yield _folder(folder / "redecompose" / cell.path, spec, _redecomposed_from(folder, cell))
    for cell in plan.all_cells(grid):
        suite = plan.suite_spec(params, grid, cell)
        for measure in MEASURES:
            yield _file(folder / "evaluate" / cell.path / measure, suite, _measured_from(folder, cell))
    for model in grid.models:
        sources = {"model": _manifest(folder, model), "calibration": _calibration(folder, model, grid.calibration)}
        yield _file(folder / "evaluate" / model / "spectra.json", plan.spectra_spec(params), sources)


def fault(artifact: Artifact, with_bytes: bool = False) -> str | None:
    """What is wrong with an artifact, None where it is what the settings say and its inputs are those on disk.

    Args:
        artifact: The artifact.
        with_bytes: Also hash its files again.
    """
    if not artifact.meta.is_file():
        return "missing"
    meta = read_json(artifact.meta)
    wanted = json.loads(artifact.spec.canonical())
    if changed := sorted(key for key in {*wanted, *meta["spec"]} if wanted.get(key) != meta["spec"].get(key)):
        return f"made {'by other code' if changed == ['code'] else 'from other settings (' + ', '.join(changed) + ')'}"
    for role, source in artifact.inputs.items():
        if not source.is_file() or read_json(source)["id"] != meta["inputs"].get(role):
            return f"made from another {role} than {source.parent if source.name == META else source} is now"
    if meta["id"] != content_id(wanted, meta["inputs"], meta["sha256"]):
        return f"{artifact.meta.name} was edited, its id does not fit what it says"
    return None if artifact.path == artifact.meta else _damage(artifact.path, meta["sha256"], with_bytes)


def _damage(path: Path, hashes: dict[str, str] | str, with_bytes: bool) -> str | None:
    files = {path: hashes} if isinstance(hashes, str) else {path / name: sha256 for name, sha256 in hashes.items()}
    for file, sha256 in files.items():
        if not file.is_file():
            return f"incomplete, {file.name} is missing"
        if with_bytes and sha256_file(file) != sha256:
            return f"damaged, {file.name} has other bytes than were written"
    return None


def strays(params: Params, name: str, results: Path) -> list[Path]:
    """Artifacts below a grid's folder that the grid does not have: folders, and files that have a meta beside them."""
    known = {artifact.path for artifact in artifacts(params, name, results)}
    found = []
    for step in STEPS:
        for meta in sorted((results / name / step).rglob(f"*{META}")):
            path = meta.parent if meta.name == META else meta.with_name(meta.name.removesuffix(f".{META}"))
            if path not in known:
                found.append(path)
    return found


def _file(path: Path, spec: Spec, inputs: dict[str, Path]) -> Artifact:
    return Artifact(path, meta_beside(path), spec, inputs)


def _folder(path: Path, spec: Spec, inputs: dict[str, Path]) -> Artifact:
    return Artifact(path, path / META, spec, inputs)


def _manifest(folder: Path, model: str) -> Path:
    return folder / "models" / f"{model}.json"


def _calibration(folder: Path, model: str, calibration: Any) -> Path:
    return meta_beside(folder / "calibrate" / model / f"{calibration}.safetensors")


def _compressed(folder: Path, cell: Cell) -> Path:
    return folder / "compress" / cell.compressed.path / META


def _compress_spec(params: Params, cell: Cell) -> Spec:
    return plan.compress_spec(params, str(cell.method), cell.sparsity)


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
