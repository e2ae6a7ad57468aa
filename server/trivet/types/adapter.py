"""LoRA adapters: a version on disk, its copy for the engine, its state."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from trivet.types.variant import VersionRef


@dataclass(frozen=True, slots=True)
class RemoteLocation:
    """A place with `<name>/<version>/` that is reached by a URL, such as `s3://bucket/prefix` or `https://host/path`.

    `endpoint_url` and `region` are for S3; without them its library's own configuration holds, as it does for
    credentials.
    """

    url: str
    endpoint_url: str | None = None
    region: str | None = None

    @property
    def scheme(self) -> str:
        """`s3`, `gs`, `https`, ..."""
        return self.url.partition("://")[0]

    def __str__(self) -> str:
        """As in the configuration."""
        return self.url


@dataclass(frozen=True, slots=True)
class HubAdapter:
    """One adapter in a repository of a model hub, and the name@version that it gets here.

    `revision`: a branch, a tag or a commit; None for the hub's default branch. `endpoint`: None for the public hub.
    """

    ref: VersionRef
    repository: str
    revision: str | None = None
    endpoint: str | None = None

    def __str__(self) -> str:
        """As in the configuration."""
        return f"hub:{self.repository}" + (f"@{self.revision}" if self.revision else "")


@dataclass(frozen=True, slots=True)
class FolderAdapter:
    """One adapter in a folder of any name, as a trainer wrote it, and the name@version that it gets here."""

    ref: VersionRef
    folder: Path


AdapterLocation = Path | RemoteLocation | HubAdapter | FolderAdapter


class AdapterState(Enum):
    """Where an adapter is in its life."""

    REGISTERED = "registered"
    STAGED = "staged"
    WARMING = "warming"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"


class AdapterTier(Enum):
    """Where its weights are, by the gateway's own books."""

    DISK = "disk"
    HOST = "host"
    LEASED = "leased"


@dataclass(frozen=True, slots=True)
class StagedAdapter:
    """An adapter that passed the preflight, in an immutable folder of our own. `digest`: SHA-256, 64 hex digits.

    `invocation`: the token ids from which on an activated LoRA acts; a plain one has none.
    """

    ref: VersionRef
    digest: str
    rank: int
    path: Path
    invocation: tuple[int, ...] = ()

    @property
    def engine_name(self) -> str:
        """What the engine knows it by; never used again for other bytes."""
        return engine_name(self.ref, self.digest)


def engine_name(ref: VersionRef, digest: str) -> str:
    """`name@version#<digest12>`, for an adapter with these bytes."""
    return f"{ref}#{digest[:12]}"


@dataclass(frozen=True, slots=True)
class FetchProgress:
    """How much of an adapter is copied from where it comes from; bytes."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class AdapterStatus:
    """One line of `trivet adapter ls`.

    `requested`: an operator's request holds it, beside the routes that may want it. `on_demand`: it is there because
    requests chose it, and for nothing else. `fetch`: while it is being copied.
    """

    ref: VersionRef
    state: AdapterState
    tier: AdapterTier
    engine_name: str = ""
    digest: str = ""
    rank: int = 0
    problem: str = ""
    requested: bool = False
    on_demand: bool = False
    fetch: FetchProgress | None = None


@dataclass(frozen=True, slots=True)
class DesiredAdapter:
    """An adapter that an operator asked for. `digest`: SHA-256 of the bytes that were acknowledged, 64 hex digits."""

    ref: VersionRef
    digest: str
