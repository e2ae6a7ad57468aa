"""A model hub on this machine: the few endpoints that tell a repository's commit, its files' sizes and bytes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

_API = re.compile(
    r"/api/models/(?P<repository>[^/]+/[^/]+)(?:/(?P<what>revision|paths-info|tree)/(?P<revision>[^/?]+).*)?"
)
_FILE = re.compile(r"/(?P<repository>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<name>[^?]+)")
_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


@dataclass
class Hub:
    """`repositories`: by name, the commits; each a folder by its id. `branches`: (repository, branch) to a commit.

    `requests` are those seen; `cut`: after so many bytes of files a connection ends, once. `gated`: repositories
    that ask for another account. `stated`: by a file's name, a digest of it that is not true.
    """

    url: str = ""
    repositories: dict[str, dict[str, Path]] = field(default_factory=dict)
    branches: dict[tuple[str, str], str] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    cut: int | None = None
    down: bool = False
    gated: set[str] = field(default_factory=set)
    stated: dict[str, str] = field(default_factory=dict)

    def commit(self, repository: str, number: int, folder: Path, *branches: str) -> str:
        """Put a folder there as a commit, the newest of these branches; gives its id."""
        commit = f"{number:040x}"
        self.repositories.setdefault(repository, {})[commit] = folder
        for branch in branches:
            self.branches[repository, branch] = commit
        return commit

    def folder(self, repository: str, revision: str) -> tuple[str, Path] | None:
        """The commit that a revision is, and its folder."""
        commits = self.repositories.get(repository, {})
        commit = self.branches.get((repository, revision), revision)
        return (commit, commits[commit]) if commit in commits else None


@contextmanager
def hub_server() -> Iterator[Hub]:
    """Serve an empty hub on a free port."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def _entry(path: Path, stated: str | None) -> dict[str, Any]:
    """A file of a tree, with git's id and, as for all large files, the SHA-256 of its content."""
    content = path.read_bytes()
    git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    entry: dict[str, Any] = {"type": "file", "path": path.name, "size": len(content), "oid": git}
    if path.suffix == ".safetensors":
        digest = stated or hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 134}
    return entry


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer(b"")

        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["Content-Length"])))

        def _answer(self, body: bytes) -> None:
            hub.requests.append((self.command, self.path))
            if hub.down:
                self.close_connection = True
            elif match := _API.fullmatch(self.path.partition("?")[0]):
                self._api(match, body)
            elif match := _FILE.fullmatch(self.path):
                self._file(match)
            else:
                self._send(404, b"", {"X-Error-Code": "EntryNotFound"})

        def _api(self, match: re.Match[str], body: bytes) -> None:
            found = hub.folder(match["repository"], match["revision"] or "main")
            if match["repository"] in hub.gated:
                self._send(403, b"", {"X-Error-Code": "GatedRepo"})
                return
            if found is None:
                known = match["repository"] in hub.repositories
                self._send(404, b"", {"X-Error-Code": "RevisionNotFound" if known else "RepoNotFound"})
                return
            commit, folder = found
            paths = [_entry(path, hub.stated.get(path.name)) for path in sorted(folder.iterdir())]
            if match["what"] == "paths-info":
                wanted = json.loads(body)["paths"] if body.startswith(b"{") else re.findall(rb"paths=([^&]+)", body)
                names = [name if isinstance(name, str) else name.decode() for name in wanted]
                paths = [item for item in paths if item["path"] in names]
            answer: Any = (
                paths if match["what"] in ("paths-info", "tree") else {"id": match["repository"], "sha": commit}
            )
            self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

        def _file(self, match: re.Match[str]) -> None:
            found = hub.folder(match["repository"], match["revision"])
            path = found[1] / match["name"] if found else None
            if found is None or path is None or not path.is_file():
                self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
                return
            content, headers, status = path.read_bytes(), {"ETag": '"x"', "X-Repo-Commit": found[0]}, 200
            if asked := _RANGE.fullmatch(self.headers.get("Range", "")):
                start, end = int(asked[1]), int(asked[2])
                hub.starts.append(start)
                headers["Content-Range"] = f"bytes {start}-{min(end, len(content) - 1)}/{len(content)}"
                content, status = content[start : end + 1], 206
            self._send(status, content, headers, cuttable=True)

        def _send(self, status: int, body: bytes, headers: dict[str, str], *, cuttable: bool = False) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if cuttable and hub.cut is not None and len(body) > hub.cut:
                body, hub.cut = body[: hub.cut], None
                self.close_connection = True
            if self.command != "HEAD":
                self.wfile.write(body)

    return Handler
