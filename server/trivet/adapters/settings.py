"""Where adapters come from, where their copies go, and what they must fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class S3Root:
    """A bucket with `<prefix>/<name>/<version>/`; `prefix` may be empty.

    Without `endpoint_url` and `region` the S3 library's own configuration holds, as it does for credentials.
    """

    bucket: str
    prefix: str = ""
    endpoint_url: str | None = None
    region: str | None = None

    @property
    def url(self) -> str:
        """As in the configuration."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


@dataclass(frozen=True, slots=True)
class AdapterSettings:
    """`roots`: places with `<name>/<version>/`; `staging`: a folder of our own; `base_model`: the model's folder.

    `max_rank` is the engine's; `max_bytes` bounds one adapter's weights; `fetch_seconds` bounds the download of one
    adapter; `dora`: DoRA passes, to be merged.
    """

    roots: tuple[Path | S3Root, ...]
    staging: Path
    base_model: Path
    max_rank: int
    max_bytes: int = 2 << 30
    fetch_seconds: float = 600.0
    dora: bool = False
