"""A git repository at a revision, through the system's git: its files, without its history, hooks or submodules."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from trivet.retrieval.sources.addresses import address_of
from trivet.retrieval.sources.remote import Fetched, RemoteFile, SourceError, is_text_document, mirror_name
from trivet.vector.lifeline import die_with_parent

_REGULAR = ("100644", "100755")
_CONFIG = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"
# Only what is asked for is spoken, and nothing of the repository or of the machine's settings is run.
_SAFE = ("protocol.allow=never", "protocol.https.allow=always", "protocol.file.allow=always",
         "http.followRedirects=false", "core.hooksPath=/dev/null", "core.fsmonitor=false", "credential.helper=",
         "submodule.recurse=false",
         "safe.directory=*")  # fmt: skip


@dataclass(frozen=True, slots=True)
class GitAddress:
    """`git+https://host/repository@revision#folder`, or `git+file:///path@revision`. `revision`: a branch, a tag or a
    commit; `folder`: in it, empty for all."""

    repository: str
    revision: str
    folder: str

    @classmethod
    def parse(cls, url: str) -> GitAddress:
        """Raises SourceError."""
        rest, _, folder = url.removeprefix("git+").partition("#")
        repository, at, revision = rest.rpartition("@")
        scheme = urlsplit(rest).scheme
        if (
            scheme not in ("https", "file")
            or not at
            or not revision
            or revision.startswith("-")
            or "/" not in repository
        ):
            raise SourceError(f"{url}: expected git+https://host/repository@revision or git+file:///path@revision")
        return cls(repository, revision, folder.strip("/"))


class GitRepository:
    """Implements Remote."""

    def __init__(
        self, url: str, scratch: Path, *, max_files: int, max_bytes: int, private: bool, timeout: float
    ) -> None:
        """`scratch`: a folder for what git fetches; it is made. `max_bytes`: of a file. `timeout`: in seconds, of one
        call of git."""
        self._address = GitAddress.parse(url)
        self._max_files = max_files
        self._max_bytes = max_bytes
        self._timeout = timeout
        parts = urlsplit(self._address.repository)
        self._settings = list(_SAFE)
        if parts.scheme == "https":
            host, port = parts.hostname or "", parts.port or 443
            address = address_of(host, port, private=private)
            self._settings.append(f"http.curloptResolve={host}:{port}:{address}")  # and not asked for again
        self._folder = scratch
        self._folder.mkdir(parents=True, exist_ok=True)
        self._too_large: set[str] = set()  # by their paths

    def files(self) -> Iterator[RemoteFile]:
        """The documents at the revision; their versions are git's own digests."""
        self._git("init", "--quiet", "--bare", ".")
        # A server that does not know filters sends everything.
        self._git("fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules",
                  f"--filter=blob:limit={self._max_bytes + 1}",
                  self._address.repository, self._address.revision)  # fmt: skip
        (self._folder / "config").write_text(_CONFIG)  # git must not fetch what was left out, one by one
        below = self._address.folder
        listed = self._git(
            "ls-tree", "-r", "-z", "--full-tree", "--long", "FETCH_HEAD", "--", *([below] if below else [])
        )
        entries = [entry for entry in listed.split(b"\0") if entry]
        if len(entries) > self._max_files:
            raise SourceError(f"{self._address.repository}: more than {self._max_files:,} files, which is `max_files`")
        for entry in entries:
            about, _, raw = entry.partition(b"\t")
            mode, _kind, digest, size = about.decode().split()
            path = raw.decode("utf-8", "replace")
            if mode in _REGULAR and is_text_document(path):  # no links
                name = mirror_name(path.removeprefix(f"{below}/") if below else path)
                if not size.isdigit() or int(size) > self._max_bytes:  # "BAD" if it was left out
                    self._too_large.add(path)
                yield RemoteFile(name, path, digest)

    def fetch(self, file: RemoteFile, to: Path, known: str) -> Fetched | None:
        """A file, if its digest is another."""
        if file.version == known:
            return None
        if file.where in self._too_large:
            raise SourceError(f"{file.where}: more than {self._max_bytes:,} bytes")
        to.write_bytes(self._git("cat-file", "blob", file.version))
        return Fetched(file.name, file.version)

    def _git(self, *arguments: str) -> bytes:
        settings = [part for setting in self._settings for part in ("-c", setting)]
        return _run(["git", *settings, *arguments], self._folder, self._timeout)


def _run(command: Sequence[str], folder: Path, timeout: float) -> bytes:
    quiet = {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "HOME": str(folder),
    }
    try:
        done = subprocess.run(
            command, cwd=folder, env={"PATH": os.defpath, **quiet}, capture_output=True, timeout=timeout, check=False,
            stdin=subprocess.DEVNULL, preexec_fn=partial(die_with_parent, os.getpid()),
        )  # fmt: skip
    except FileNotFoundError:
        raise SourceError("there is no git on this machine, which a `git+` source needs") from None
    except subprocess.TimeoutExpired:
        raise SourceError(f"git took longer than {timeout:.0f} s") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().split("\n")[-1]
        raise SourceError(f"git: {said}"[:300])
    return done.stdout
