"""What every artifact says of itself: spec, inputs, bytes, versions, commit, device, time."""

import hashlib
import json
import platform
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from importlib import metadata
from pathlib import Path
from typing import Any

from lorap.artifacts.names import META, TIMING
from lorap.artifacts.specs import Spec
from lorap.errors import LorapError
from lorap.files import new_file, new_folder, read_json, sha256_file, write_json

PACKAGES = ("lorap", "torch", "transformers", "tokenizers", "safetensors", "datasets", "peft", "lm_eval")
MODEL_SUFFIXES = (".safetensors", ".json", ".model", ".txt", ".jinja")  # of weights, configuration and tokenizer


@contextmanager
def new_artifact(
    out: Path,
    spec: Spec,
    inputs: Mapping[str, Path],
    device: str = "cpu",
    folder: bool = False,
    origin: Mapping[str, str] | None = None,
    taken: Mapping[str, int] | None = None,
) -> Iterator[Path]:
    """Yields a private path to fill, which becomes ``out`` with its meta.json when the block ends well.

    Args:
        out: The artifact: a file, whose meta stands beside it, or a folder, which holds its own.
        spec: The settings that it is made from.
        inputs: What it is made of, by role.
        device: Where the work ran.
        folder: Make a folder.
        origin: Where data from outside came from; it may be filled in until the block ends.
        taken: Numbers that the job chose where the settings left them to it; likewise.
    """
    started = time.monotonic()
    ids = {role: artifact_id(path) for role, path in inputs.items()}
    with (  # both are complete before either appears, and the meta appears last
        nullcontext() if folder else new_file(meta_path(out)) as beside,
        (new_folder if folder else new_file)(out) as partial,
    ):
        yield partial
        files = {file.name: sha256_file(file) for file in sorted(partial.iterdir())} if folder else sha256_file(partial)
        write_json(beside or partial / META, make_meta(spec, ids, files, started, device, origin, taken))


def make_meta(
    spec: Spec,
    ids: Mapping[str, str],
    files: Mapping[str, str] | str,
    started: float,
    device: str = "cpu",
    origin: Mapping[str, str] | None = None,
    taken: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """The content of a meta.json.

    Args:
        spec: The settings that the artifact is made from.
        ids: Those of its inputs, by role.
        files: The hash of the file, or those of the folder's files by name.
        started: When the work began, by the monotonic clock.
        device: Where the work ran.
        origin: Where data from outside came from.
        taken: Numbers that the job chose where the settings left them to it.
    """
    settings = json.loads(spec.canonical())
    return {
        "spec": settings,
        "inputs": dict(ids),
        "origin": dict(origin or {}),
        **({"taken": dict(taken)} if taken else {}),
        "id": content_id(settings, ids, files),
        "sha256": files,
        "versions": _versions(),
        "git_commit": _git_commit(),
        "device": device_name(device),
        "wall_seconds": round(time.monotonic() - started, 3),
    }


def meta_path(artifact: Path) -> Path:
    """Where the meta of an artifact is: inside a folder, beside a file."""
    return artifact / META if artifact.is_dir() else meta_beside(artifact)


def meta_beside(file: Path) -> Path:
    """Where the meta of an artifact that is a file is, whether the file is there or not."""
    return file.with_name(f"{file.name}.{META}")


def read_meta(artifact: Path) -> dict[str, Any]:
    """The meta of an artifact.

    Raises:
        LorapError: It has none, or a damaged one.
    """
    meta = read_json(meta_path(artifact))
    if not isinstance(meta, dict):
        raise LorapError(f"{meta_path(artifact)}: damaged, expected a JSON object; make the artifact again")
    return meta


def is_made_from(out: Path, spec: Spec, inputs: Mapping[str, Path]) -> bool:
    """Whether a folder is there, whole to the last byte, and made from just these settings and inputs."""
    if not meta_path(out).is_file():
        return False
    meta = read_meta(out)
    ids = {role: artifact_id(path) for role, path in inputs.items()}
    if (meta.get("spec"), meta.get("inputs")) != (json.loads(spec.canonical()), ids):
        return False
    files = meta.get("sha256")
    return isinstance(files, dict) and all(
        (out / name).is_file() and sha256_file(out / name) == sha256 for name, sha256 in files.items()
    )


def content_id(spec: Mapping[str, Any], inputs: Mapping[str, str], files: Mapping[str, str] | str) -> str:
    """What identifies an artifact: settings, inputs and bytes, but for files that no second run would repeat.

    Args:
        spec: The settings as in JSON.
        inputs: Ids by role.
        files: The hash of a file, or those of a folder's files by name.
    """
    lasting = files if isinstance(files, str) else {name: sha256 for name, sha256 in files.items() if name != TIMING}
    settings = json.dumps(spec, sort_keys=True, separators=(",", ":"))
    return _digest(settings, json.dumps([inputs, lasting], sort_keys=True))


def artifact_id(path: Path) -> str:
    """What identifies an input: the id in its meta, or the hash of its bytes where lorap did not make it.

    Of what is not there it is the hash of nothing; whoever reads it reports that it is missing, in better words.
    """
    if meta_path(path).is_file() and "id" in (meta := read_meta(path)):
        return str(meta["id"])
    if path.is_file():
        return sha256_file(path)
    files = sorted(file for file in path.glob("*") if file.suffix in MODEL_SUFFIXES and file.is_file())
    return _digest(*(f"{file.name} {sha256_file(file)}" for file in files))


def device_name(device: str) -> str:
    """The device in words, for a person who compares timings."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    return _cpu_model() or platform.processor() or platform.machine()


def _cpu_model() -> str | None:
    """The processor by its name, which Linux has in a file."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # run from a checkout that is not installed
            continue
    return found


def _git_commit() -> str | None:
    """The commit of the checkout that the code runs from, None outside of one."""
    here = Path(__file__).parent
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None
