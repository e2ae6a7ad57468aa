"""What trying a schema out may take."""

from __future__ import annotations

from dataclasses import dataclass

from trivet.schemas.limits import DEFAULT_LIMITS, SchemaLimits
from trivet.vllm_plugin.tenant_grammars import ALL_BYTES, LEAST_BYTES


@dataclass(frozen=True, slots=True)
class TrialLimits:
    """Bounds on the compiling of schemas that are new.

    `cpu_seconds` for one, since the engine spends as much again; `step_seconds` of the engine's main thread for the
    mask of one token, on average over the worst few; `memory_bytes` of the compiling process beyond its own;
    `max_waiting` schemas at once. `owners`: how many there may be whose schemas are kept apart. `schema`: what may be
    compiled at all.
    """

    cpu_seconds: float = 0.5
    step_seconds: float = 0.002
    memory_bytes: int = 512 << 20
    max_waiting: int = 16
    owners: int = 1
    schema: SchemaLimits = DEFAULT_LIMITS

    @property
    def owner_bytes(self) -> int:
        """What the engine may keep of one owner's compiled grammars."""
        return max(ALL_BYTES // self.owners, LEAST_BYTES)
