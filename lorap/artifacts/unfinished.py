"""What a run that was cut short leaves to the next one, which goes on from it if it is the same run."""

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lorap.artifacts.meta import artifact_id
from lorap.artifacts.specs import Spec
from lorap.errors import LorapError
from lorap.files import read_json, write_json

SETTINGS = "spec.json"  # what the run is made from


@contextmanager
def going_on(place: Path, spec: Spec, inputs: Mapping[str, Path]) -> Iterator[None]:
    """A job that goes on where an earlier one was cut short; nothing is left of either when it is done, or at fault."""
    prepare(place, spec, inputs)
    try:
        yield
    except Exception:  # only a run that was cut short may go on; one at fault would fail again
        shutil.rmtree(place, ignore_errors=True)
        raise
    shutil.rmtree(place)


def prepare(place: Path, spec: Spec, inputs: Mapping[str, Path]) -> None:
    """Makes a private folder for what a run leaves, and says so where another run had left something there."""
    if prepare_checkpoints(place, spec, {role: artifact_id(path) for role, path in inputs.items()}):
        print(f"{place}: checkpoints of other settings or of another model, removed", file=sys.stderr)


def prepare_checkpoints(place: Path, spec: Spec, inputs: Mapping[str, str]) -> bool:
    """Makes the folder, without what another run left there; returns whether there was such a thing.

    Args:
        place: The private folder.
        spec: The settings of this run.
        inputs: Ids of what it is made of.
    """
    made_from = {"spec": json.loads(spec.canonical()), "inputs": dict(inputs)}
    file = place / SETTINGS
    stale = place.exists() and not says(file, made_from)
    if stale:
        shutil.rmtree(place)
    place.mkdir(parents=True, exist_ok=True)
    write_json(file, made_from)
    return stale


def says(file: Path, expected: Any) -> bool:
    """Whether a JSON file is there, whole, and has just this content."""
    try:
        return bool(read_json(file) == expected)
    except LorapError:  # it was being written when the run was cut short, or is damaged
        return False
