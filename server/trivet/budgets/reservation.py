"""What one request has set aside of each limit that it is held against, until it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trivet.budgets.ledger import Ledger, Window
from trivet.types.budget import Limit, Use


@dataclass(frozen=True, slots=True)
class Part:
    """Of one limit. `overdrawn`: beyond the limit, or unchecked, so that what is not spent is not usable by others."""

    ledger: Ledger
    window: Window
    amount: int
    overdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Reservation:
    """Of all its limits. `warnings`: one line for each that is nearly used up."""

    parts: Sequence[Part] = ()
    warnings: tuple[str, ...] = ()

    def settle(self, used: Use) -> None:
        """The request has ended and used this; once."""
        for part in self.parts:
            part.window.settle(part.amount, used.of(part.ledger.limit.unit), overdrawn=part.overdrawn)
            part.ledger.refused_until = 0.0


NOTHING = Use()


def amount(limit: Limit, worst: Use) -> int:
    """What is set aside: something in any case, so that a limit that is reached refuses requests that cost nothing."""
    return max(1, worst.of(limit.unit))


def reserved(ledger: Ledger, window: Window, worst: Use, *, overdrawn: bool = False) -> Part:
    """Set it aside."""
    part = Part(ledger, window, amount(ledger.limit, worst), overdrawn)
    window.reserve(part.amount, overdrawn=overdrawn)
    return part


def warnings(ledgers: Sequence[Ledger], at: float) -> tuple[str, ...]:
    """Of those from whose limit on answers are to carry one."""
    return tuple(
        f"{ledger.share(at):.2f} of {ledger.limit}" for ledger in ledgers if ledger.share(at) >= ledger.limit.warn_at
    )
