"""Which node a request goes to, and what is learned of that node by it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

from trivet.errors import BackendUnavailable, Draining, NotFound, Overloaded, TrivetError
from trivet.fleet.choice import Candidate, Ranks, choose, key_of
from trivet.fleet.desired import Desired
from trivet.fleet.endpoint import Endpoint
from trivet.fleet.membership import Membership
from trivet.fleet.preparation import RETRY_AFTER, Preparation, as_unavailable
from trivet.types.generation import BackendRequest

_MOST_FULL = 3  # nodes that are asked for a place, one after the other, while the request waits


class Placement:
    """Chooses with `choice.choose`. `bound`: see there. Call everything from one event loop."""

    def __init__(self, membership: Membership, desired: Desired, preparation: Preparation, bound: float) -> None:
        self._membership = membership
        self._desired = desired
        self._preparation = preparation
        self._bound = bound
        self._ranks = Ranks()

    def key(self, request: BackendRequest) -> bytes:
        """What it would find computed on a node that has been asked the like; noted as used."""
        facts = self._membership.agreement.facts
        salt = None if facts is not None and facts.salts_after_prefix else request.cache_salt
        # The prefix of an activated LoRA is the base model's: all that share it are at home on the same node.
        whose = request.adapter if request.activated_from is None else None
        key = key_of(whose, salt, request.token_ids[: request.unsalted_tokens])
        self._desired.used(key)
        return key

    async def place(self, request: BackendRequest, key: bytes, tried: Collection[Endpoint]) -> Endpoint:
        """The node to ask. One that lacks what the request needs is made ready for those that come after it.

        Raises BackendUnavailable if there is none, and Overloaded if the adapter is nowhere and those nodes that were
        asked for a place have none.
        """
        eligible = [one for one in self._membership.endpoints.values() if one.eligible and one not in tried]
        if not eligible:
            raise BackendUnavailable(self._membership.why_none, RETRY_AFTER)
        full: list[Endpoint] = []
        while True:
            chosen = self._choose([one for one in eligible if one not in full], request.adapter, key)
            if self._warm(chosen, request.adapter, key):
                return chosen
            warming = self._preparation.warm_up(chosen, request, key)
            warm = [one for one in eligible if self._warm(one, request.adapter, key)]
            if warm:  # meanwhile
                return self._choose(warm, request.adapter, key)
            try:
                await asyncio.shield(warming)
                return chosen
            except Overloaded:  # all its places for adapters are in use; another node may have one
                full.append(chosen)
                if len(full) == min(len(eligible), _MOST_FULL):
                    raise
            except TrivetError as problem:
                raise as_unavailable(problem) from problem

    def blame(self, endpoint: Endpoint, request: BackendRequest, problem: TrivetError) -> None:
        """A request failed there with this."""
        if isinstance(problem, NotFound):
            if request.adapter is not None:
                endpoint.dropped(request.adapter)
        elif not isinstance(problem, Draining | Overloaded):
            endpoint.failed()
        self._membership.notice()

    def _choose(self, among: Sequence[Endpoint], adapter: str | None, key: bytes) -> Endpoint:
        ranks = self._ranks.of(key, self._membership.endpoints)
        candidates = [
            Candidate(one, one.engine.load, one.weight, one.has(adapter), one.has_computed(key), ranks[one.address])
            for one in among
        ]
        chosen = choose(candidates, self._bound)
        assert chosen is not None
        return chosen

    def _warm(self, endpoint: Endpoint, adapter: str | None, key: bytes) -> bool:
        """It has the adapter, and has gone through the prefix if that is one which is computed in advance."""
        return endpoint.has(adapter) and (endpoint.has_computed(key) or not self._desired.is_primed(key))
