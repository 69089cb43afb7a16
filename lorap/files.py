"""Files and folders that appear whole or not at all."""

import fcntl
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lorap.errors import LorapError

KINDS = ("partial", "old", "lock", "checkpoints")  # of hidden paths; a killed process leaves them to its successor
MARKER = ".lorap"  # says that a folder is lorap's to replace, even when a failed job lost its meta.json


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Yields a private folder that becomes ``out`` when the block ends well; otherwise nothing is left.

    Raises:
        LorapError: ``out`` exists and lorap did not write it.
    """
    refuse_foreign(out)
    with private_folder(out) as partial:
        yield partial
        (partial / MARKER).touch()
        _obey_umask(partial)
        with private_folder(out, "old") as old:  # a folder is moved at once, but not deleted at once
            if out.exists():
                out.rename(old / out.name)
            _keep(*partial.iterdir(), partial)
            partial.rename(out)
            _keep(out.parent)


def _obey_umask(folder: Path) -> None:
    """Gives all in a folder the mode of a new file or folder: some libraries write files for their owner alone."""
    of_folders, of_files = (stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / MARKER))
    for path in folder.rglob("*"):
        path.chmod(of_folders if path.is_dir() else of_files)


def _keep(*paths: Path) -> None:
    """Has the disk hold files and folders, so that a power cut leaves no name without what it stands for."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def private_folder(out: Path, kind: str = "partial") -> Iterator[Path]:
    """Yields an empty hidden folder beside ``out`` that no other process has; afterwards nothing of it is left."""
    private = hidden(out, kind)
    with only_one(private):
        shutil.rmtree(private, ignore_errors=True)  # a killed process could not
        private.mkdir(parents=True)
        try:
            yield private
        finally:
            shutil.rmtree(private, ignore_errors=True)


@contextmanager
def new_file(out: Path) -> Iterator[Path]:
    """Yields a private path that becomes ``out`` when the block ends well; otherwise nothing is left."""
    if out.is_dir():
        raise LorapError(f"{out}: is a folder, expected a file name; choose another --out")
    partial = hidden(out, "partial")
    with only_one(partial):
        try:
            yield partial
            _keep(partial)
            partial.rename(out)
            _keep(out.parent)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def only_one(out: Path) -> Iterator[None]:
    """Waits until no other process makes ``out``, then keeps it to itself; a process that dies lets go of it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    path = hidden(out, "lock")
    while True:
        with path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _is_at(path, lock.fileno()):
                continue  # who had it before has removed it
            try:
                yield
            finally:
                path.unlink()
            return


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def hidden(out: Path, kind: str) -> Path:
    """Where, beside ``out``, is kept what only a running process needs of it; ``kind`` is one of KINDS."""
    return out.with_name(f".{out.name.removeprefix('.')}.{kind}")


def owner_of(path: Path) -> Path | None:
    """What a hidden path is kept for, None where it is no such path."""
    name, kind = path.name.removeprefix("."), ""
    while name.rpartition(".")[2] in KINDS:
        name, _, kind = name.rpartition(".")
    return path.with_name(name) if kind and path.name.startswith(".") else None


def refuse_foreign(out: Path) -> None:
    """Raises a LorapError where ``out`` holds something that lorap did not write."""
    if out.is_file():
        raise LorapError(f"{out}: is a file, expected a folder name; choose another --out")
    if out.is_dir() and any(out.iterdir()) and not (out / MARKER).exists():
        raise LorapError(f"{out}: exists and was not written by lorap; choose another --out or remove it")


def require_space(folder: Path, size: int) -> None:
    """Raises a LorapError where the disk of ``folder`` has less than ``size`` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < size:
        raise LorapError(f"{folder}: no disk space, {size / 1e6:,.1f} MB needed, {free / 1e6:,.1f} MB free")


def write_json(path: Path, value: Any) -> None:
    """Writes JSON that a person can read, whole or not at all."""
    with new_file(path) as partial:
        partial.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        LorapError: The file is missing, cannot be read or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise LorapError(f"{path}: no such file") from error
    except OSError as error:
        raise LorapError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise LorapError(f"{path}: not valid JSON ({error})") from error


def sha256_file(path: Path) -> str:
    """Hexadecimal sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_text(text: str) -> str:
    """Hexadecimal sha256 of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()
