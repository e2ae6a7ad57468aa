"""Bounds of adapters on demand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OnDemandSettings:
    """`disk_bytes`: of all copies. `host_places`: as in `LifecycleSettings`. `at_once`: cold starts that run.

    `max_waiting` more wait for their turn, of one tenant at most `max_waiting_per_tenant`. `failure_memory`: seconds
    for which an adapter that is missing or bad is not tried again while its files are the same.
    """

    disk_bytes: int = 20 << 30
    host_places: int = 16
    at_once: int = 2
    max_waiting: int = 64
    max_waiting_per_tenant: int = 8
    failure_memory: float = 60.0
