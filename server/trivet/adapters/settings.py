"""Where adapters come from, where their copies go, and what they must fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trivet.types.adapter import S3Root


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
