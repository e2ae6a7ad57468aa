"""Repositories of a model hub: what is in a commit, and its files, read in blocks by offset."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from trivet.errors import FailedPrecondition

PREFIX = "hub:"
BLOCK_BYTES = 4 << 20
SECONDS = 15.0
_COMMIT = re.compile(r"[0-9a-f]{40}")
_FILE_NAME = re.compile(r"[A-Za-z0-9_][\w.+-]{0,200}")  # no path, and none of the names that a fetch keeps for itself
_REFERENCE = re.compile(r"(?P<name>[\w.-]+(?:/[\w.-]+)?)(?:@(?P<revision>[\w./-]+))?")


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


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a commit: bytes, and its digest as the hub states it (`sha256:` or, for small files, `git:`)."""

    name: str
    size: int
    digest: str


class HubMissing(Exception):
    """The hub has no such repository or revision, or does not show it with these credentials."""


class HubDenied(HubMissing):
    """The repository is there, for accounts that have accepted its terms."""


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

    def files(self, commit: str) -> Sequence[HubFile]:
        """The files in the repository's own folder; those in folders below it are other formats of the same."""
        try:
            found = list(self._api().list_repo_tree(self._name, revision=commit))
        except Exception as problem:
            raise _told(self._name, problem) from problem
        return [
            HubFile(item.path, int(item.size), f"sha256:{item.lfs.sha256}" if item.lfs else f"git:{item.blob_id}")
            for item in found
            if hasattr(item, "size") and _FILE_NAME.fullmatch(item.path)
        ]

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
    from huggingface_hub.errors import (
        GatedRepoError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    kind = type(problem).__name__
    if isinstance(problem, GatedRepoError):
        return HubDenied(
            f"hub:{repository} is gated: accept its terms on its page, and set HF_TOKEN to a token of that account"
        )
    if isinstance(problem, OfflineModeIsEnabled):
        return HubBroken(f"hub:{repository} is not read: HF_HUB_OFFLINE is set")
    if isinstance(problem, RepositoryNotFoundError | RevisionNotFoundError | FileNotFoundError):
        return HubMissing(
            f"hub:{repository} has no such repository, revision or file, or it needs a token (HF_TOKEN) ({kind})"
        )
    return HubBroken(f"hub:{repository} cannot be read now ({kind})")
