"""The seam between budgets and the state store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from trivet.types.budget import Claim, Grant


class BudgetStore(Protocol):
    """What gateways share. Every call is bounded in time and runs off the event loop."""

    async def exchange_budgets(
        self, gateway: str, number: int, lease_seconds: float, claims: Sequence[Claim]
    ) -> Sequence[Grant] | None:
        """Tell what this gateway has spent and holds, and be granted all that the claims need, or nothing of it.

        What it holds stays its own for `lease_seconds` from now. `number` grows with each call; None if a later call
        was done before this one. Raises StateUnavailable while the store is away.
        """
        ...

    async def forget_budgets(self) -> int:
        """Remove some of what is kept of windows that ended long ago; how many rows, 0 if nothing is left of them."""
        ...
