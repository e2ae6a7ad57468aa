"""What a fleet's nodes are to have: adapters, and prefixes that are computed before a node is asked."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from trivet.fleet.choice import rendezvous
from trivet.types.adapter import StagedAdapter
from trivet.types.generation import BackendRequest

MOST_PRIMES = 1000  # of variants that were served; one that no request has used for long is forgotten first


class Desired:
    """Live: the pipeline's orders, for nodes that come later too."""

    def __init__(self) -> None:
        self.adapters: dict[str, StagedAdapter] = {}
        self._primes: OrderedDict[bytes, BackendRequest] = OrderedDict()

    def prime(self, key: bytes, request: BackendRequest) -> None:
        """This prefix is to be computed on each node that has its adapter."""
        self._primes[key] = request
        self._primes.move_to_end(key)
        while len(self._primes) > MOST_PRIMES:
            self._primes.popitem(last=False)

    def used(self, key: bytes) -> None:
        """A request needs it."""
        if key in self._primes:
            self._primes.move_to_end(key)

    def is_primed(self, key: bytes) -> bool:
        """Whether it is one that is computed in advance."""
        return key in self._primes

    def primes_of(self, adapter: str | None) -> list[tuple[bytes, BackendRequest]]:
        """Those under an adapter, or under the base model."""
        return [(key, request) for key, request in self._primes.items() if request.adapter == adapter]

    def drop(self, adapter: str) -> None:
        """Nothing is to have it any more."""
        self.adapters.pop(adapter, None)
        for key, _ in self.primes_of(adapter):
            del self._primes[key]

    def homes(self, adapter: str, nodes: Sequence[str], places: int) -> list[str]:
        """The nodes that are to have an adapter, `places` being those of all nodes: all where everything has room on
        each, else as many as there is room for, by rendezvous hashing."""
        if not nodes:
            return []
        copies = max(1, min(len(nodes), places // max(1, len(self.adapters))))
        return rendezvous(adapter.encode(), nodes)[:copies]

    def adapters_of(self, node: str, nodes: Sequence[str], places: int, own: int) -> list[StagedAdapter]:
        """What one node is to have, at most as many as its `own` places."""
        wanted: Iterable[StagedAdapter] = self.adapters.values()
        return [one for one in wanted if node in self.homes(one.engine_name, nodes, places)][:own]
