"""The sizes of a grid's models: from their config.json, or as published where no one has fetched them yet."""

from collections.abc import Iterator
from pathlib import Path

from lorap.artifacts.grid import Cell
from lorap.artifacts.places import output
from lorap.artifacts.steps import STEPS
from lorap.errors import LorapError
from lorap.files import read_json
from lorap.machine.streaming import Model, read_model
from lorap.settings.config import lookup
from lorap.settings.schema import Params
from lorap.settings.sources import ModelSource

PUBLISHED = Path(__file__).parent / "published"


def model_of(params: Params, grid: str, name: str, results: Path) -> Model:
    """The sizes of a model of a grid.

    Raises:
        LorapError: Nobody has fetched it, and its sizes are not among those that come with lorap.
    """
    source = lookup(params.models, name, "model")
    file = next((file for file in _places(source, grid, name, results) if file.is_file()), None)
    if file is None:
        raise LorapError(
            f"{name}: its sizes are unknown before its config.json is there; "
            f"get it with 'lorap fetch {name} --out {STEPS['fetch'].beside.format(model=name)}'"
        )
    return read_model(file)


def _places(source: ModelSource, grid: str, name: str, results: Path) -> Iterator[Path]:
    """Where a model's config.json may be, the surest place first."""
    yield from (results / grid / file for file in output("fetch", Cell(name)).files)
    yield Path(STEPS["fetch"].beside.format(model=name), "config.json")
    if source.source == "folder":
        yield Path(source.path, "config.json")
    known = getattr(source, "repo", getattr(source, "package", None))
    yield from (file for file in sorted(PUBLISHED.glob("*.json")) if known in read_json(file)["models"])
