"""What trying a schema out may take."""

from __future__ import annotations

from dataclasses import dataclass

from trivet.schemas.limits import DEFAULT_LIMITS, SchemaLimits


@dataclass(frozen=True, slots=True)
class TrialLimits:
    """Bounds on the compiling of schemas that are new.

    `cpu_seconds` for one, since the engine spends as much again; `step_seconds` of the engine's main thread for the
    mask of one token, on average; `memory_bytes` of the compiling process beyond its own; `max_waiting` schemas at
    once. `schema`: what may be compiled at all.
    """

    cpu_seconds: float = 0.5
    step_seconds: float = 0.002
    memory_bytes: int = 512 << 20
    max_waiting: int = 16
    schema: SchemaLimits = DEFAULT_LIMITS
