"""A finished checkout that is shared over remotes, what is in them, and what can happen to that."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.s3_server import BUCKET, S3, key_of
from tests.workflow import Checkout

ADAPTER = "results/demo/tune/tiny/pydoc-4x16/lorap-0.5/tiny/adapter_model.safetensors"


@dataclass(frozen=True)
class Shared:
    """A finished checkout that DVC has recorded and pushed to two remotes, ``folder`` and ``s3``."""

    origin: Checkout
    s3: S3

    def copy_at(self, folder: Path, store: str) -> Checkout:
        """A copy of the checkout, cache and all, with its S3 remote at a store of the server."""
        copy = Checkout(Path(shutil.copytree(self.origin.folder, folder, symlinks=True)))
        point_at(copy, store)
        return copy

    def clone(self, folder: Path, store: str = "store") -> Checkout:
        """A clone, with its S3 remote at a store of the server."""
        self.origin.run("git", "clone", "--quiet", ".", str(folder))
        clone = Checkout(folder)
        point_at(clone, store)
        return clone

    def adapter(self) -> str:
        """The name that DVC has for the adapter's weights."""
        return hashlib.md5((self.origin.folder / ADAPTER).read_bytes()).hexdigest()

    def list_with_adapter(self) -> str:
        """The name of the list of the folder that the adapter's weights are in."""
        return next(name for name, entries in lists(cache_of(self.origin)).items() if self.adapter() in entries)

    def store_without(self, name: str, store: str) -> str:
        """A copy of what the S3 remote holds, that lacks an object."""
        self.s3.copy("store", store)
        self.s3.client().delete_object(Bucket=BUCKET, Key=key_of(store, name))
        return store

    def store_with_damage(self, name: str, store: str) -> str:
        """A copy of what the S3 remote holds, in which one byte of an object is another."""
        self.s3.copy("store", store)
        data = bytearray(self.s3.objects(store)[name])
        data[-1] ^= 1
        self.s3.client().put_object(Bucket=BUCKET, Key=key_of(store, name), Body=bytes(data))
        return store


def point_at(checkout: Checkout, store: str) -> None:
    """Has the S3 remote of this checkout alone be another store."""
    checkout.run("dvc", "remote", "modify", "--local", "s3", "url", f"s3://{BUCKET}/{store}")


def cached(folder: Path) -> dict[str, bytes]:
    """The bytes of every object in a cache, or in a remote that is a folder, by name; each is what its name says."""
    files = [file for file in (folder / "files/md5").glob("*/*") if file.is_file()]
    held = {file.parent.name + file.name: file.read_bytes() for file in files}
    assert damaged(held) == []
    return held


def cache_of(checkout: Checkout) -> dict[str, bytes]:
    return cached(checkout.folder / ".dvc/cache")


def damaged(held: dict[str, bytes]) -> list[str]:
    """The objects whose bytes are not what their names say, lists of folders among them."""
    return [name for name, data in held.items() if hashlib.md5(data).hexdigest() != name.removesuffix(".dir")]


def lists(held: dict[str, bytes]) -> dict[str, set[str]]:
    """The folders among objects, each with the names of the files in it."""
    return {name: {entry["md5"] for entry in json.loads(data)} for name, data in held.items() if name.endswith(".dir")}
