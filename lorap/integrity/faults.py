"""What is wrong with an artifact on disk: settings, inputs, an edited meta, damaged bytes; no torch here."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lorap.files import META, read_json, sha256_file, write_json
from lorap.integrity.artifacts import Artifact
from lorap.provenance import content_id

MISSING = "missing"  # ends every fault that Snakemake sees for itself, as it knows of the meta but not of all files
DERIVED = "is to be made again"  # ends every fault that comes from an input's
OTHER_CODE = "made by other code"


def faults(found: Iterable[Artifact], with_bytes: bool = False) -> Iterator[tuple[Artifact, str | None]]:
    """Every artifact with what is wrong with it: None where it and all that it is made of are what the settings say.

    Args:
        found: Artifacts, each after those that it is made of.
        with_bytes: Also hash their files again.
    """
    ids: dict[Path, str] = {}  # of those that are there, each read once
    wrong: set[Path] = set()
    for artifact in found:
        meta = read_json(artifact.meta) if artifact.meta.is_file() else None
        fault = _fault(artifact, meta, ids, with_bytes)
        if meta is not None:
            ids[artifact.meta] = meta.get("id", "")
        if fault is None and (stale := next((role for role, meta in artifact.inputs.items() if meta in wrong), None)):
            fault = f"its {stale} {DERIVED}"
        if fault:
            wrong.add(artifact.meta)
        yield artifact, fault


def _fault(artifact: Artifact, meta: Any, ids: dict[Path, str], with_bytes: bool) -> str | None:
    if meta is None:
        return MISSING
    if missing := [key for key in ("spec", "inputs", "id", "sha256") if key not in meta]:
        return f"{artifact.meta.name} was edited, it has no {missing[0]}"
    wanted = json.loads(artifact.spec.canonical())
    if changed := sorted(key for key in {*wanted, *meta["spec"]} if wanted.get(key) != meta["spec"].get(key)):
        if changed != ["code"]:
            return f"made from other settings ({', '.join(changed)})"
        if wanted["code"] not in [accepted["code"] for accepted in meta.get("accepted", [])]:
            return OTHER_CODE
    for role, source in artifact.inputs.items():
        if source not in ids:
            return f"its {role} is {MISSING}"
        if ids.get(source) != meta["inputs"].get(role):
            return f"made from another {role} than {source.parent if source.name == META else source} is now"
    if meta["id"] != content_id(meta["spec"], meta["inputs"], meta["sha256"]):
        return f"{artifact.meta.name} was edited, its id does not fit what it says"
    return None if artifact.path == artifact.meta else _damage(artifact, meta["sha256"], with_bytes)


def _damage(artifact: Artifact, hashes: dict[str, str] | str, with_bytes: bool) -> str | None:
    named = {artifact.path.name: hashes} if isinstance(hashes, str) else hashes
    for name, sha256 in named.items():
        file = artifact.root / name
        if not file.is_file():
            return f"incomplete, it has lost {name}; 'lorap adopt' has it made again"
        if with_bytes and sha256_file(file) != sha256:
            return f"damaged, {name} has other bytes than were written"
    return None


def accept_code(artifact: Artifact, why: str) -> None:
    """Records in the meta that today's code would have made the same artifact; its id and settings stay as they are."""
    meta = read_json(artifact.meta)
    meta.setdefault("accepted", []).append({"code": artifact.spec.code, "why": why})
    write_json(artifact.meta, meta)
