"""What is wrong with an artifact on disk: settings, inputs, an edited meta, damaged bytes; no torch here."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from lorap.artifacts.meta import content_id
from lorap.artifacts.names import META
from lorap.errors import LorapError
from lorap.files import read_json, sha256_file, write_json
from lorap.workflow.expected import Artifact


class Kind(Enum):
    """What a fault asks for."""

    MISSING = auto()  # Snakemake sees it for itself: a meta is not there
    DERIVED = auto()  # an input's fault
    OTHER_CODE = auto()  # a user may accept it
    OWN = auto()  # anything else


@dataclass(frozen=True)
class Fault:
    """What is wrong with an artifact, in words."""

    text: str
    kind: Kind = Kind.OWN

    def __str__(self) -> str:
        return self.text


class Accepted(BaseModel):
    """Code that a user accepted as equivalent to that of the run."""

    code: str


class Meta(BaseModel):
    """What of a meta.json is checked; ``sha256`` is that of a file, or those of a folder's files by name."""

    spec: dict[str, Any]
    inputs: dict[str, str]
    id: str
    sha256: dict[str, str] | str
    accepted: list[Accepted] = []


def faults(found: Iterable[Artifact], with_bytes: bool = False) -> Iterator[tuple[Artifact, Fault | None]]:
    """Every artifact with what is wrong with it: None where it and all that it is made of are what the settings say.

    Args:
        found: Artifacts, each after those that it is made of.
        with_bytes: Also hash their files again.
    """
    ids: dict[Path, str] = {}  # of those that are there, each read once
    wrong: set[Path] = set()
    for artifact in found:
        meta = _read(artifact.meta)
        if isinstance(meta, Fault):
            fault: Fault | None = meta
        else:
            ids[artifact.meta] = meta.id
            fault = _fault(artifact, meta, ids, with_bytes)
        if fault is None and (stale := next((role for role, meta in artifact.inputs.items() if meta in wrong), None)):
            fault = Fault(f"its {stale} is to be made again", Kind.DERIVED)
        if fault:
            wrong.add(artifact.meta)
        yield artifact, fault


def _read(file: Path) -> Meta | Fault:
    """A meta, or what is wrong with it."""
    if not file.is_file():
        return Fault("missing", Kind.MISSING)
    try:
        return Meta.model_validate(read_json(file))
    except LorapError as error:
        return Fault(f"damaged, {error}")
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"]) or "the whole"
        return Fault(f"{file.name} was edited, {where}: {error.errors()[0]['msg']}")


def _fault(artifact: Artifact, meta: Meta, ids: dict[Path, str], with_bytes: bool) -> Fault | None:
    wanted = json.loads(artifact.spec.canonical())
    if changed := sorted(key for key in {*wanted, *meta.spec} if wanted.get(key) != meta.spec.get(key)):
        if changed != ["code"]:
            return Fault(f"made from other settings ({', '.join(changed)})")
        if wanted["code"] not in [accepted.code for accepted in meta.accepted]:
            return Fault("made by other code", Kind.OTHER_CODE)
    for role, source in artifact.inputs.items():
        if not source.is_file():
            return Fault(f"its {role} is missing", Kind.MISSING)
        if source in ids and ids[source] != meta.inputs.get(role):
            return Fault(f"made from another {role} than {source.parent if source.name == META else source} is now")
    if meta.id != content_id(meta.spec, meta.inputs, meta.sha256):
        return Fault(f"{artifact.meta.name} was edited, its id does not fit what it says")
    return None if artifact.path == artifact.meta else _damage(artifact, meta.sha256, with_bytes)


def _damage(artifact: Artifact, hashes: dict[str, str] | str, with_bytes: bool) -> Fault | None:
    named = {artifact.path.name: hashes} if isinstance(hashes, str) else hashes
    for name, sha256 in named.items():
        file = artifact.root / name
        if not file.is_file():
            return Fault(f"incomplete, {name} is missing; run 'lorap adopt' to have it made again")
        if with_bytes and sha256_file(file) != sha256:
            return Fault(f"damaged, {name} has other bytes than were written")
    return None


def accept_code(artifact: Artifact, why: str) -> None:
    """Records in the meta that today's code would have made the same artifact; its id and settings stay as they are."""
    meta = read_json(artifact.meta)
    meta.setdefault("accepted", []).append({"code": artifact.spec.code, "why": why})
    write_json(artifact.meta, meta)
