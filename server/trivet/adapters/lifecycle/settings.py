"""How many adapters are loaded at once, how many are kept at hand, and when to try again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LifecycleSettings:
    """`host_places`: adapters in the engine's host memory. `max_loads`: of different adapters at the same time.

    `retry_first` and `retry_most`: seconds between attempts to load what could not be loaded.
    """

    host_places: int = 16
    max_loads: int = 2
    retry_first: float = 1.0
    retry_most: float = 60.0
