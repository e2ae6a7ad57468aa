"""Repositories of a model hub: whole models fetched once, and single files of one commit, read in blocks by offset."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from trivet.errors import FailedPrecondition

PREFIX = "hub:"
BLOCK_BYTES = 4 << 20
SECONDS = 15.0
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REFERENCE = re.compile(r"(?P<name>[\w.-]+(?:/[\w.-]+)?)(?:@(?P<revision>[\w./-]+))?")
_WANTED = ["*.json", "*.txt", "*.model", "*.safetensors", "*/pytorch_model.bin"]
_UNWANTED = ["onnx/*", "openvino/*", "*.onnx"]


@dataclass(frozen=True, slots=True)
class HubReference:
    """`hub:organisation/name`, with a branch, tag or commit behind an `@` where it matters which."""

    name: str
    revision: str | None

    @classmethod
    def parse(cls, text: str) -> HubReference:
        """Raises FailedPrecondition."""
        match = _REFERENCE.fullmatch(text.removeprefix(PREFIX))
        if match is None:
            raise FailedPrecondition(f"model {text!r}: expected hub:organisation/name or …@revision")
        return cls(match["name"], match["revision"])

    @property
    def folder(self) -> str:
        """A folder's name for it."""
        return f"{self.name}@{self.revision or 'main'}".replace("/", "--")


class HubMissing(Exception):
    """The hub has no such repository or revision, or does not show it with these credentials."""


class HubBroken(Exception):
    """The hub cannot be read now."""


class HubRepository:
    """One repository. `endpoint`: the hub's URL, None for the public one; credentials are the library's own.

    Every method blocks, SECONDS a request at most, and raises HubMissing and HubBroken.
    """

    def __init__(self, name: str, endpoint: str | None = None) -> None:
        self._name = name
        self._endpoint = endpoint

    def commit(self, revision: str | None) -> str:
        """The commit (40 hex digits) that a branch or a tag means now."""
        try:
            info = self._api().model_info(self._name, revision=revision, timeout=SECONDS)
        except Exception as problem:
            raise _told(self._name, problem) from problem
        if not isinstance(info.sha, str) or not _COMMIT.fullmatch(info.sha):
            raise HubBroken(f"hub:{self._name} does not say which commit {revision or 'its default branch'} is")
        return info.sha

    def sizes(self, names: Sequence[str], commit: str) -> Mapping[str, int]:
        """The sizes in bytes of those of the files that are there."""
        try:
            found = self._api().get_paths_info(self._name, list(names), revision=commit)
        except Exception as problem:
            raise _told(self._name, problem) from problem
        return {item.path: int(item.size) for item in found if hasattr(item, "size")}

    def open(self, name: str, commit: str, offset: int) -> BinaryIO:
        """A file's bytes from an offset on, asked for in blocks of BLOCK_BYTES."""
        from huggingface_hub import HfFileSystem

        try:
            system = HfFileSystem(endpoint=self._endpoint, skip_instance_cache=True)
            file: Any = system.open(f"{self._name}@{commit}/{name}", "rb", block_size=BLOCK_BYTES, cache_type="none")
            file.seek(offset)
        except Exception as problem:
            raise _told(self._name, problem) from problem
        return cast(BinaryIO, _HubFile(file, self._name))

    def _api(self) -> Any:
        from huggingface_hub import HfApi

        return HfApi(endpoint=self._endpoint)


class _HubFile:
    """A file of the hub whose errors are ours."""

    def __init__(self, file: Any, repository: str) -> None:
        self._file = file
        self._repository = repository

    def read(self, size: int) -> bytes:
        try:
            return cast(bytes, self._file.read(size))
        except Exception as problem:
            raise _told(self._repository, problem) from problem

    def close(self) -> None:
        self._file.close()


def _told(repository: str, problem: Exception) -> Exception:
    """What the hub's library raises, in our words."""
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    kind = type(problem).__name__
    if isinstance(problem, RepositoryNotFoundError | RevisionNotFoundError | FileNotFoundError):
        return HubMissing(f"hub:{repository} has no such repository, revision or file, or needs a token ({kind})")
    return HubBroken(f"hub:{repository} cannot be read now ({kind})")


def fetched(reference: HubReference, cache: Path) -> Path:
    """The model's folder below `cache`, fetched if it is not there; it appears whole or not at all (blocking).

    What is there is never looked for again, so a restart needs no network and gets no other model. Raises
    FailedPrecondition.
    """
    target = cache / reference.folder
    if target.is_dir():
        return target
    from huggingface_hub import snapshot_download

    cache.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".fetch-", dir=cache))
    try:
        snapshot_download(
            reference.name,
            revision=reference.revision,
            local_dir=work,
            allow_patterns=_WANTED,
            ignore_patterns=_UNWANTED,
        )
        shutil.rmtree(work / ".cache", ignore_errors=True)  # the hub's own notes
        if not target.exists():  # else another process was faster
            work.rename(target)
    except Exception as error:  # the hub's client raises its own, its transport's and the file system's errors
        raise FailedPrecondition(
            f"model {reference.name!r} cannot be fetched from the hub: {type(error).__name__}: {error}"
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target
