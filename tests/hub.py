"""A stand-in for the model hub on loopback: enough of its interface for downloads by the real client."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def files_of(folder: Path) -> list[str]:
    """The paths of a repository's files."""
    return [str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()]


def handler_for(repos: dict[str, Path]) -> type[BaseHTTPRequestHandler]:
    """A request handler that serves folders as repositories, every revision being the same commit."""

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, body: bool) -> None:
            path = self.path.split("?")[0].removeprefix("/").removeprefix("api/").removeprefix("models/")
            path = path.removeprefix("datasets/")
            owner, name, kind, rest = [*path.split("/", 3), "", "", ""][:4]
            folder = repos.get(f"{owner}/{name}")
            if folder is None:
                self.reply(404, b"{}", body, {"X-Error-Code": "RepoNotFound"})
            elif kind == "resolve":
                self.file(folder / rest.split("/", 1)[1], body)
            elif kind == "tree":
                files = [f for f in folder.rglob("*") if f.is_file()]
                tree = [
                    {"type": "file", "path": str(f.relative_to(folder)), "size": f.stat().st_size, "oid": "0"}
                    for f in files
                ]
                self.reply(200, json.dumps(tree).encode(), body)
            else:
                siblings = [{"rfilename": str(f.relative_to(folder))} for f in folder.rglob("*") if f.is_file()]
                info = {"id": f"{owner}/{name}", "sha": COMMIT, "siblings": siblings, "tags": [], "downloads": 0}
                self.reply(200, json.dumps(info | {"private": False}).encode(), body)

        def file(self, path: Path, body: bool) -> None:
            if not path.is_file():
                self.reply(404, b"", body, {"X-Error-Code": "EntryNotFound"})
                return
            data = path.read_bytes()
            etag = f'"{hashlib.sha1(data).hexdigest()}"'
            self.reply(200, data, body, {"X-Repo-Commit": COMMIT, "ETag": etag})

        def reply(self, status: int, data: bytes, body: bool, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                self.wfile.write(data)

        def log_message(self, *args: object) -> None:
            """Nothing on the tests' output."""

    return Hub


@contextmanager
def serve_hub(repos: dict[str, Path]) -> Iterator[str]:
    """Serves folders under their repository names; yields the endpoint's address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_for(repos))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
