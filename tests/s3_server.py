"""An S3 server process on loopback: moto's, which knows one user, behind a gate that can hold uploads."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

BUCKET = "shared"
NOBODY = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "wrong"}
ALLOWED = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'
LET_THROUGH = 20  # uploads that a shut gate does not hold
LIMIT = 120  # seconds until a server that does not start is given up


@dataclass(frozen=True)
class S3:
    """A running server: its address, the credentials of its user, and the file that shuts the gate while it exists."""

    endpoint: str
    user: dict[str, str]
    gate: Path

    def client(self) -> Any:
        """A client with the user's credentials."""
        return client_of(self.endpoint, self.user)

    def keys(self, store: str) -> list[str]:
        """The keys of a store's objects; a store is what one remote holds."""
        listed = self.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{store}/")
        return [entry["Key"] for page in listed for entry in page.get("Contents", [])]

    def objects(self, store: str) -> dict[str, bytes]:
        """The bytes of a store's objects by their names, which are hashes."""
        client = self.client()
        return {name_of(k): client.get_object(Bucket=BUCKET, Key=k)["Body"].read() for k in self.keys(store)}

    def copy(self, store: str, copy: str) -> None:
        """Copies a store."""
        client = self.client()
        for key in self.keys(store):
            source = {"Bucket": BUCKET, "Key": key}
            client.copy_object(Bucket=BUCKET, Key=copy + key.removeprefix(store), CopySource=source)


def name_of(key: str) -> str:
    """The name of DVC's object that is kept under a key: its hash, of which DVC makes a folder and a file."""
    return "".join(key.split("/")[-2:])


def key_of(store: str, name: str) -> str:
    """The key of an object of DVC."""
    return f"{store}/files/md5/{name[:2]}/{name[2:]}"


def client_of(endpoint: str, user: dict[str, str], service: str = "s3") -> Any:
    """A client of one of the server's services."""
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=user["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=user["AWS_SECRET_ACCESS_KEY"],
    )


class Gate:
    """An application that lets some uploads through while a file exists, keeps others waiting, then refuses these."""

    def __init__(self, application: Callable[..., Iterable[bytes]], file: Path) -> None:
        self.application, self.file, self.lock, self.let_through = application, file, Lock(), 0

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "PUT" and self.holds():
            while self.file.exists():
                time.sleep(0.05)
            start("503 Slow Down", [("Content-Length", "0")])
            return []
        return self.application(environ, start)

    def holds(self) -> bool:
        """Whether the gate is shut for one more upload."""
        with self.lock:
            self.let_through = self.let_through + 1 if self.file.exists() else 0
            return self.let_through > LET_THROUGH


def main(address: Path, gate: Path) -> None:
    """Serves on a free port, which it writes into a file."""
    application = Gate(DomainDispatcherApplication(create_backend_app), gate)
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=MotoRequestHandler)
    address.with_suffix(".partial").write_text(f"http://127.0.0.1:{server.server_port}")
    address.with_suffix(".partial").rename(address)
    server.serve_forever()


@contextmanager
def serve_s3(folder: Path) -> Iterator[S3]:
    """Starts a server with a bucket that one user may use and nobody else; its log is in the folder."""
    address, gate = folder / "address", folder / "gate"
    # Until the user and the bucket are there, nobody can be asked who they are.
    environment = os.environ | {"INITIAL_NO_AUTH_ACTION_COUNT": "4"}
    command = [sys.executable, "-m", "tests.s3_server", str(address), str(gate)]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=Path(__file__).parents[1])
    try:
        wait_for(address.exists, server)
        yield S3(address.read_text(), introduce(address.read_text()), gate)
    finally:
        server.kill()
        server.wait()


def introduce(endpoint: str) -> dict[str, str]:
    """Makes the bucket and the user in four requests; returns the user's credentials."""
    iam = client_of(endpoint, NOBODY, "iam")
    iam.create_user(UserName="user")
    iam.put_user_policy(UserName="user", PolicyName="all", PolicyDocument=ALLOWED)
    key = iam.create_access_key(UserName="user")["AccessKey"]
    client_of(endpoint, NOBODY).create_bucket(Bucket=BUCKET)
    return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


def wait_for(happened: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Waits until something has happened while a process runs."""
    given_up = time.monotonic() + LIMIT
    while not happened():
        assert process.poll() is None, f"{process.args!r} ended with {process.returncode}"
        assert time.monotonic() < given_up, f"{process.args!r}: still waiting after {LIMIT} s"
        time.sleep(0.02)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
