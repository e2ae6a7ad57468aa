"""What one request sets aside of its limits, from before its admission until its receipt."""

from __future__ import annotations

from trivet.budgets.budgets import Budgets
from trivet.budgets.reservation import Reservation
from trivet.metering.account import Account
from trivet.pipeline.charging.worst_case import WorstCase, used
from trivet.types.receipt import Receipt
from trivet.types.request import GenerateCall
from trivet.types.variant import Route


class Charge:
    """One request's. Nothing is set aside without `budgets`."""

    def __init__(self, budgets: Budgets | None, worst_case: WorstCase) -> None:
        self._budgets = budgets
        self._worst_case = worst_case
        self._reservation = Reservation()

    async def reserve(self, call: GenerateCall, route: Route, account: Account) -> None:
        """Set aside the most that it may use. Raises what `Budgets.reserve` raises; then it uses nothing."""
        if self._budgets is not None and self._budgets.limited(call.tenant, call.key):
            worst = self._worst_case.of(call, route)
            self._reservation = await self._budgets.reserve(call.tenant, call.key, worst)
            account.budget_warnings = self._reservation.warnings

    def settle(self, receipt: Receipt) -> None:
        """It has ended; what its receipt says counts. Once."""
        if self._budgets is not None:
            self._budgets.settle(self._reservation, used(receipt))
