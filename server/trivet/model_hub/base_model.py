"""A language model of a hub, fetched once: the safetensors, tokenizer and configuration files of one commit.

What is fetched appears whole or not at all, under a name that follows from the reference alone. It is never looked for
again: a branch is resolved once, and later starts need no network. What was broken off goes on where it stopped, at the
commit that it began with.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Protocol

from trivet.errors import FailedPrecondition
from trivet.model_hub.repository import HubBroken, HubFile, HubMissing, HubReference, HubRepository

RECORD = "trivet-model.json"
READ_BYTES = 16 << 20
ATTEMPTS = 5  # without a byte in between
_SPARE_BYTES = 1 << 30  # of the disk, for what a server writes while it starts
_WEIGHTS, _INDEX, _SINGLE = "*.safetensors", "model.safetensors.index.json", "model.safetensors"
_WANTED = ("*.json", "*.txt", "*.jinja", "tokenizer.model", "*.tiktoken", "LICENSE*", "NOTICE*")
_CODE = "*.py"
_REQUIRED = ("config.json", "tokenizer.json")
_MAX_SMALL_BYTES = 256 << 20


class FetchWatcher(Protocol):
    """Who is told how far it is; `advance` is called from the thread that fetches."""

    def begin(self, stage: str, total: int, done: int) -> None:
        """`done` of `total` bytes are there, and the rest is about to be fetched."""
        ...

    def advance(self, size: int) -> None:
        """So many bytes more."""
        ...


def fetch_model(
    reference: HubReference,
    target: Path,
    watcher: FetchWatcher,
    *,
    endpoint: str | None = None,
    with_code: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> Mapping[str, Any]:
    """Fetch the model into the folder `target` unless it is there (blocks); what its record says.

    The record has `repository`, `revision`, `commit`, `files` (size and SHA-256 of each) and `digest`, the SHA-256 over
    those. Python files are fetched only `with_code`. Pickles never are. Raises FailedPrecondition with what is missing
    and what to do.
    """
    if target.is_dir():
        return _record(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    repository = HubRepository(reference.name, endpoint)
    with _alone(target):
        if target.is_dir():  # another process was faster
            return _record(target)
        try:
            return _Fetch(reference, repository, target, watcher, with_code, sleep).run()
        except (HubMissing, HubBroken) as problem:
            raise FailedPrecondition(f"the model cannot be fetched: {problem}") from problem
        except OSError as problem:
            raise FailedPrecondition(f"the model {reference.name!r} cannot be written: {problem}") from problem


class _Fetch:
    """One fetch, of one commit, into a folder beside the target."""

    def __init__(
        self,
        reference: HubReference,
        repository: HubRepository,
        target: Path,
        watcher: FetchWatcher,
        with_code: bool,
        sleep: Callable[[float], None],
    ) -> None:
        self._reference = reference
        self._repository = repository
        self._target = target
        self._watcher = watcher
        self._sleep = sleep
        self._wanted = (*_WANTED, _CODE) if with_code else _WANTED
        self._work = target.with_name(f".{target.name}.partial")

    def run(self) -> Mapping[str, Any]:
        commit = self._commit()
        files = {file.name: file for file in self._repository.files(commit)}
        for name in _REQUIRED:
            if name not in files:
                raise FailedPrecondition(f"hub:{self._reference.name} has no {name}, expected a Hugging Face model")
        small = [file for file in files.values() if any(fnmatch(file.name, pattern) for pattern in self._wanted)]
        for file in small:
            if file.size > _MAX_SMALL_BYTES:
                raise FailedPrecondition(
                    f"{file.name} has {_size(file.size)}, expected {_size(_MAX_SMALL_BYTES)} at most"
                )
        self._check_disk(small)
        found = {file.name: self._fetch(file, commit) for file in small}
        weights = self._weights(files)
        done = sum(self._partial(file.name) for file in weights)
        total = sum(file.size for file in weights)
        self._check_disk(weights)
        self._watcher.begin(f"model {self._reference.name} ({_size(total)})", total, done)
        found |= {file.name: self._fetch(file, commit, self._watcher.advance) for file in weights}
        return self._publish(commit, found)

    def _commit(self) -> str:
        """The commit that was begun with; a new fetch asks the hub."""
        note = self._work / ".commit"
        if note.is_file():
            return note.read_text().strip()
        commit = self._repository.commit(self._reference.revision)
        shutil.rmtree(self._work, ignore_errors=True)
        self._work.mkdir(mode=0o700)
        draft = note.with_suffix(".draft")
        draft.write_text(commit)
        draft.replace(note)
        return commit

    def _weights(self, files: Mapping[str, HubFile]) -> Sequence[HubFile]:
        """The files of the weights: those of the index, or the only one; never a second copy in another layout."""
        if _INDEX in files:
            try:
                names = sorted(set(json.loads((self._work / _INDEX).read_text())["weight_map"].values()))
            except (ValueError, KeyError, TypeError, AttributeError) as problem:
                raise FailedPrecondition(
                    f"{_INDEX} of hub:{self._reference.name} is not an index of weights"
                ) from problem
        else:
            names = [_SINGLE]
        missing = [name for name in names if name not in files or not fnmatch(name, _WEIGHTS)]
        if missing or not names:
            raise FailedPrecondition(
                f"hub:{self._reference.name} has no {', '.join(missing) or _SINGLE}: Trivet loads safetensors only, "
                "since other formats can run code; take a revision or a repository that has the weights so"
            )
        return [files[name] for name in names]

    def _check_disk(self, files: Sequence[HubFile]) -> None:
        missing = sum(file.size - self._partial(file.name) for file in files)
        free = shutil.disk_usage(self._work).free
        if missing + _SPARE_BYTES > free:
            raise FailedPrecondition(
                f"the model {self._reference.name!r} needs {_size(missing)} more, and {_size(_SPARE_BYTES)} to spare; "
                f"{self._work.parent} has {_size(free)} free"
            )

    def _partial(self, name: str) -> int:
        path = self._work / name
        return path.stat().st_size if path.is_file() else 0

    def _fetch(self, file: HubFile, commit: str, advance: Callable[[int], None] = lambda _: None) -> Mapping[str, Any]:
        """Fetch what is missing of a file and check it; its size and SHA-256."""
        path = self._work / file.name
        attempts = 0
        while (have := self._partial(file.name)) < file.size:
            try:
                self._append(path, file, commit, have, advance)
            except HubBroken:
                attempts = 1 if self._partial(file.name) > have else attempts + 1
                if attempts >= ATTEMPTS:
                    raise
                self._sleep(2.0 ** (attempts - 1))
        path.touch()  # an empty file is a file
        digest = _sha256(path)
        if self._partial(file.name) != file.size or not _matches(file, path, digest):
            path.unlink()
            raise HubBroken(f"{file.name} of hub:{self._reference.name} arrived damaged; try again")
        return {"size": file.size, "sha256": digest}

    def _append(self, path: Path, file: HubFile, commit: str, offset: int, advance: Callable[[int], None]) -> None:
        source = self._repository.open(file.name, commit, offset)
        try:
            with path.open("ab") as sink:
                while offset < file.size:
                    block = source.read(min(READ_BYTES, file.size - offset))
                    if not block:
                        raise HubBroken(f"{file.name} of hub:{self._reference.name} ended early")
                    sink.write(block)
                    offset += len(block)
                    advance(len(block))
                sink.flush()
                os.fsync(sink.fileno())
        finally:
            source.close()

    def _publish(self, commit: str, files: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
        lines = "".join(f"{files[name]['sha256']}  {name}\n" for name in sorted(files))
        record = {
            "repository": self._reference.name,
            "revision": self._reference.revision,
            "commit": commit,
            "digest": hashlib.sha256(lines.encode()).hexdigest(),
            "files": {name: files[name] for name in sorted(files)},
        }
        (self._work / ".commit").unlink()
        (self._work / RECORD).write_text(json.dumps(record, indent=1))
        self._work.rename(self._target)
        return record


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """One process at a time fetches a model."""
    with target.with_name(f".{target.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            raise FailedPrecondition(f"another process is fetching the model into {target}") from problem
        yield


def _record(target: Path) -> Mapping[str, Any]:
    try:
        record = json.loads((target / RECORD).read_text())
        if isinstance(record, dict) and isinstance(record.get("commit"), str):
            return record
    except (OSError, ValueError):
        pass
    raise FailedPrecondition(f"{target} was not fetched by Trivet (no {RECORD}): move it away, and it is fetched anew")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _matches(file: HubFile, path: Path, sha256: str) -> bool:
    """Whether the content is what the hub states: the SHA-256 of a large file, git's id of a small one."""
    kind, _, stated = file.digest.partition(":")
    if kind == "sha256":
        return stated == sha256
    content = path.read_bytes()
    return stated == hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _size(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
