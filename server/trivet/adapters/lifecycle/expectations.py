"""Who expects an adapter to be there: variants that use it, operators who asked for it, requests that chose it."""

from __future__ import annotations

from collections.abc import Iterable

from trivet.adapters.lifecycle.demand import AdapterDemand
from trivet.adapters.pins import AdapterPins
from trivet.types.adapter import engine_name
from trivet.types.variant import VersionRef


class Expectations:
    """`wanted`: by variants, whose names they are. `requested`: by operators, with the digest of its bytes.

    `on_demand`: chosen by requests; they stay until they are dismissed. The first and the last are live.
    """

    def __init__(self, demand: AdapterDemand, pins: AdapterPins | None) -> None:
        """`pins`: the bytes of adapters that requests choose; without, they choose none."""
        self.wanted = demand.users
        self.on_demand = demand.on_demand
        self.requested: dict[VersionRef, str] = {}
        self._pins = pins

    def any(self, ref: VersionRef) -> bool:
        """Anybody expects it."""
        return self.lasting(ref) or ref in self.on_demand

    def lasting(self, ref: VersionRef) -> bool:
        """Variants or operators want it: it is loaded whether or not a request asks for it."""
        return ref in self.wanted or ref in self.requested

    def only_on_demand(self, ref: VersionRef) -> bool:
        """Requests chose it, and nobody else wants it."""
        return ref in self.on_demand and not self.lasting(ref)

    def pinned(self, ref: VersionRef) -> bool:
        """A request has chosen its bytes."""
        return self._pins is not None and self._pins.get(ref) is not None

    def digest(self, ref: VersionRef) -> str | None:
        """The bytes that it has to have; None for those that the source has."""
        if self.lasting(ref) or self._pins is None:
            return self.requested.get(ref)
        return self._pins.get(ref)

    def kept_copies(self, requested: Iterable[tuple[VersionRef, str]]) -> set[str]:
        """Names in the engine of the copies that are expected by their digest: `requested`, and what is pinned."""
        pinned = () if self._pins is None else self._pins.all()
        return {engine_name(ref, digest) for ref, digest in (*requested, *pinned)}

    async def withdrawn(self, ref: VersionRef) -> None:
        """Neither operators nor requests expect it any more. Raises StateUnavailable."""
        if self._pins is not None:
            await self._pins.forget(ref)
        self.requested.pop(ref, None)
        self.on_demand.discard(ref)
