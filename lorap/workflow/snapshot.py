"""The tables of a grid's results as texts: those of a folder, or those of a git revision."""

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from lorap.artifacts import catalogue
from lorap.errors import LorapError

RESULTS = "results"  # where a checkout has them
REPORT = "report"


@dataclass(frozen=True)
class Tables:
    """Where the tables of a run are, their texts by file name, and the versions and processors that made them."""

    place: str
    texts: Mapping[str, str]
    made_with: Mapping[str, str] = field(default_factory=dict)


def read_folder(results: Path, grid: str) -> Tables:
    """The tables of a grid that a second run repeats.

    Args:
        results: The folder that holds the results of all grids.
        grid: The grid's name.

    Raises:
        LorapError: There are none.
    """
    folder = results / grid
    found = [file.relative_to(folder) for place in (folder, folder / REPORT) for file in place.glob("*")]
    files = [PurePosixPath(file) for file in found]
    tables = _tables(str(folder), files, lambda file: (folder / file).read_text(encoding="utf-8", errors="replace"))
    if not tables.texts:
        raise LorapError(f"{folder}: no tables there; make them with 'snakemake' or 'lorap report --grid {grid}'")
    return tables


def read_revision(revision: str, grid: str) -> Tables:
    """The same, as a revision of the current checkout has them below ``results``.

    Raises:
        LorapError: This is no git checkout, or it has no such revision, or that has no tables of the grid.
    """
    if _git("rev-parse", "--is-inside-work-tree") is None:
        raise LorapError(f"--with {revision}: {Path.cwd()} is in no git checkout; give a folder that holds results")
    commit = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if commit is None:
        raise LorapError(f"--with {revision}: no such git revision, and no folder")
    tree, folder = commit.strip(), PurePosixPath(RESULTS, grid)
    listed = _git("ls-tree", "-z", "--full-tree", "--name-only", tree, f"{folder}/", f"{folder}/{REPORT}/") or ""
    files = [PurePosixPath(name).relative_to(folder) for name in listed.split("\0") if name]
    tables = _tables(f"{revision}:{folder}", files, lambda file: _git("show", f"{tree}:{folder / file}") or "")
    if not tables.texts:
        raise LorapError(f"--with {revision}: it has no tables in {folder}")
    return tables


def _tables(place: str, files: Sequence[PurePosixPath], read: Callable[[PurePosixPath], str]) -> Tables:
    """Those of the files that are tables which a second run repeats, read."""
    wanted = {PurePosixPath(catalogue.METRICS), PurePosixPath(catalogue.SWEEP)}
    wanted |= {
        PurePosixPath(REPORT, f"{name}.csv") for name in catalogue.TABLES if name not in catalogue.MEASURED_TABLES
    }
    texts = {file.name: read(file) for file in files if file in wanted}
    provenance = PurePosixPath(REPORT, catalogue.PROVENANCE)
    return Tables(place, texts, _made_with(place, read(provenance)) if provenance in files else {})


def _made_with(place: str, provenance: str) -> dict[str, str]:
    """Versions and processors in the metas of a run, where it has several of a kind all of them."""
    found: dict[str, dict[str, None]] = {}
    try:
        for meta in json.loads(provenance).values():
            used = meta.get("versions", {}) | {name: meta[name] for name in ("device",) if name in meta}
            for name, value in used.items():
                found.setdefault(name, {})[str(value)] = None
    except (ValueError, AttributeError, TypeError) as error:
        raise LorapError(f"{place}: {catalogue.PROVENANCE} is not what lorap writes; make the report again") from error
    return {name: " and ".join(values) for name, values in found.items()}


def _git(*arguments: str) -> str | None:
    """What git prints, None where it fails."""
    try:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, encoding="utf-8", errors="replace", check=False
        )
    except FileNotFoundError as error:
        raise LorapError("git: not installed; give --with a folder that holds results") from error
    return done.stdout if done.returncode == 0 else None
