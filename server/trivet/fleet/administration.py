"""What operators see of fleets, and change."""

from __future__ import annotations

from collections.abc import Mapping

from trivet.errors import NotFound
from trivet.excerpt import quote
from trivet.fleet.endpoint import Endpoint
from trivet.fleet.fleet import Fleet
from trivet.types.generation import EngineNodeStatus


class FleetOperations:
    """Implements `ports.FleetAdministration` over the fleets of one gateway, by backend."""

    def __init__(self, fleets: Mapping[str, Fleet]) -> None:
        self._fleets = fleets

    def nodes(self) -> list[EngineNodeStatus]:
        """See `ports.FleetAdministration.nodes`."""
        return [
            _status(name, endpoint)
            for name, fleet in sorted(self._fleets.items())
            for _, endpoint in sorted(fleet.endpoints.items())
        ]

    async def drain(self, address: str, draining: bool) -> int:
        """See `ports.FleetAdministration.drain`."""
        for fleet in self._fleets.values():
            endpoint = fleet.endpoints.get(address)
            if endpoint is not None:
                return await endpoint.engine.drain(draining)
        raise NotFound(f"no engine node {quote(address)} is known; `trivet fleet ls` shows those that are")


def _status(backend: str, endpoint: Endpoint) -> EngineNodeStatus:
    facts, view = endpoint.engine.facts, endpoint.engine.view
    return EngineNodeStatus(
        backend=backend,
        address=endpoint.address,
        name="" if facts is None else facts.name,
        state=endpoint.state,
        problem=endpoint.engine.problem or endpoint.problem,
        in_flight=endpoint.engine.in_flight,
        running=0 if view is None else view.running,
        waiting=0 if view is None else view.waiting,
        adapters=() if view is None else tuple(sorted(view.adapters)),
        adapter_places=endpoint.places,
        kv_use=None if view is None else view.kv_use,
        engine_version="" if facts is None else facts.engine_version,
        trivet_version="" if facts is None else facts.trivet_version,
    )
