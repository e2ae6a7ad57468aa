"""Telling the store what ledgers have spent and hold, and asking it for more, in one call."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping

from trivet.budgets.ledger import Ledger, Window
from trivet.budgets.store import BudgetStore
from trivet.errors import StateUnavailable
from trivet.types.budget import Grant

logger = logging.getLogger(__name__)

STORE_SECONDS = 2.0  # the longest that anybody waits for the store
_AWAY_SECONDS = 1.0  # after a call that failed, nobody else waits for one


class Exchange:
    """Calls about the same ledger come one after the other; `clock` is of a monotonic one."""

    def __init__(self, store: BudgetStore, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._gateway = secrets.token_hex(8)  # another one after a restart: it has spent nothing yet
        self._number = 0
        self._away_until = 0.0

    async def call(self, needs: Mapping[Ledger, int], lease: float) -> Mapping[Ledger, tuple[Grant, Window]]:
        """The grants of ledgers whose window is now, entered in them; of those that need anything, all or nothing.

        What was granted lies in the ledger's window as usable, unless it is overdrawn. Raises StateUnavailable.
        """
        asked_at = self._clock()
        if asked_at < self._away_until:
            raise StateUnavailable("the state store is away, so limits cannot be checked")
        claims = [claim for ledger, need in needs.items() for claim in ledger.claims(need)]
        self._number += 1
        try:
            async with asyncio.timeout(STORE_SECONDS):
                grants = await self._store.exchange_budgets(self._gateway, self._number, lease, claims)
        except TimeoutError:
            self._away_until = self._clock() + _AWAY_SECONDS
            raise StateUnavailable("the state store did not answer in time, so limits cannot be checked") from None
        except StateUnavailable:
            self._away_until = self._clock() + _AWAY_SECONDS
            raise
        if grants is None:
            raise StateUnavailable("the state store has a later word of this gateway, so limits cannot be checked")
        for ledger in needs:
            ledger.told(claims, asked_at, lease)
        by_limit = {grant.limit: grant for grant in grants}
        found = {ledger: by_limit[ledger.limit.id] for ledger in needs if ledger.limit.id in by_limit}
        return {ledger: (grant, ledger.granted(grant, asked_at)) for ledger, grant in found.items()}
