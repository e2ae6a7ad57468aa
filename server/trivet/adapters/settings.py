"""Where adapters come from, where their copies go, and what they must fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trivet.types.adapter import AdapterLocation

MAX_BYTES = 2 << 30  # of the weights


@dataclass(frozen=True, slots=True)
class AdapterSettings:
    """`roots`: places with `<name>/<version>/`; `staging`: a folder of our own; `base_model`: the model's folder.

    `max_rank` is the engine's; `max_bytes` bounds one adapter's weights; `fetch_seconds` bounds the download of one
    adapter; `to_merge`: DoRA and modules that were trained whole pass; `beside`: further
    files that are copied where they are there.
    """

    roots: tuple[AdapterLocation, ...]
    staging: Path
    base_model: Path
    max_rank: int
    max_bytes: int = MAX_BYTES
    fetch_seconds: float = 600.0
    to_merge: bool = False
    beside: tuple[str, ...] = ()
