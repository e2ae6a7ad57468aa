"""What a request holds while it uses an adapter."""

from __future__ import annotations

from dataclasses import dataclass

from trivet.types.variant import VersionRef


@dataclass(frozen=True, slots=True)
class AdapterLease:
    """A resident adapter that stays so for as long as the lease is held. `invocation`: see `StagedAdapter`."""

    ref: VersionRef
    engine_name: str
    digest: str
    invocation: tuple[int, ...] = ()
