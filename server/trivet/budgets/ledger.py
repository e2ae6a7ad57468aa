"""This gateway's books of one limit: what it was granted, what is reserved, what is spent. In whole units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from trivet.types.budget import Claim, Grant, Limit

SLICE = 50  # a gateway asks for one part in so many beyond its need
SCARCE = 0.9  # from this share on, what is not reserved goes back at once
REPORTED_AFTER_END = 900.0  # seconds: a request that ends later than this after its window is told to nobody


@dataclass(slots=True)
class Window:
    """One window of a limit. Times are the event loop's.

    `usable`: granted and free. `reserved`: of requests under way; together they are what this gateway holds.
    """

    start: int
    ends: float
    usable: int = 0
    reserved: int = 0
    spent: int = 0
    told: tuple[int, int] | None = None
    """Spent and held, as the store was told last."""

    @property
    def holds(self) -> int:
        """What the store keeps for this gateway."""
        return self.usable + self.reserved

    @property
    def news(self) -> bool:
        """Whether the store was told something else last."""
        return self.told != (self.spent, self.holds)

    def reserve(self, amount: int, *, overdrawn: bool = False) -> None:
        """Set `amount` aside; `overdrawn`: it was never usable."""
        self.reserved += amount
        if not overdrawn:
            self.usable -= amount

    def settle(self, amount: int, spent: int, *, overdrawn: bool = False) -> None:
        """A request ended that `amount` was set aside for; what it did not spend is usable again."""
        self.reserved -= amount
        self.spent += spent
        if not overdrawn:
            self.usable = max(0, self.usable + amount - spent)


class Ledger:
    """The windows of one limit: the one that is now, and earlier ones whose requests have not all ended."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.now: Window | None = None
        self._earlier: list[Window] = []
        self._leased_until = 0.0
        self._used = 0
        """By all gateways in the window that is now, when the store was asked last; without what it was not told."""
        self._held = 0
        self._counted = 0
        """This gateway's part of `_used`."""
        self.refused_until = 0.0
        self.last_used = 0.0

    def covers(self, amount: int, at: float) -> Window | None:
        """The window, if `amount` can be reserved there without asking."""
        window = self.now
        if window is None or at >= min(window.ends, self._leased_until) or window.usable < amount:
            return None
        return window

    @property
    def used(self) -> int:
        """As far as this gateway knows, by all; what is only reserved is not in it."""
        return self._used if self.now is None else self._used + max(0, self.now.spent - self._counted)

    def share(self, at: float) -> float:
        """The part of the limit that is used."""
        return 0.0 if self.now is None or at >= self.now.ends else self.used / max(1, self.limit.most)

    def ends_in(self, at: float) -> float:
        """Seconds until the window that is now ends."""
        return 0.0 if self.now is None else max(0.0, self.now.ends - at)

    def drop_expired(self, at: float) -> None:
        """What was granted under a lease that is over may be another gateway's by now."""
        if at >= self._leased_until:
            self.keep_nothing()

    def keep_nothing(self) -> None:
        """Of what is not reserved; the store learns of it when it is told next."""
        if self.now is not None:
            self.now.usable = 0

    def change(self, limit: Limit) -> None:
        """Another amount from now on. What was granted under the former one says nothing of what is left."""
        self.limit, self.refused_until = limit, 0.0
        if self.now is not None:
            self.now.usable = 0

    def give_back(self, at: float, idle_seconds: float) -> None:
        """Keep nothing beyond what is reserved, if there is little left for others or nobody has asked for a while."""
        scarce = self._used + self._held >= SCARCE * self.limit.most
        if scarce or at - self.last_used >= idle_seconds:
            self.keep_nothing()

    def must_tell(self, at: float, lease: float) -> bool:
        """Whether the store has to hear of it: something is new, or a lease has to be renewed."""
        if any(window.news for window in self._earlier):
            return True
        window = self.now
        if window is None:
            return False
        return window.news or (window.holds > 0 and at >= self._leased_until - lease / 2)

    def claims(self, need: int = 0) -> Iterator[Claim]:
        """All that there is to tell, and what is needed in the window that is now."""
        limit = self.limit
        for earlier in self._earlier:
            yield Claim(limit.id, limit.period, limit.most, earlier.start, earlier.spent, earlier.holds)
        window, want = self.now, limit.most // SLICE if need else 0
        if window is not None:
            yield Claim(limit.id, limit.period, limit.most, window.start, window.spent, window.holds, need, want)
        elif need:
            yield Claim(limit.id, limit.period, limit.most, None, need=need, want=want)

    def told(self, claims: list[Claim], asked_at: float, lease: float) -> None:
        """The store has these claims of ours since `asked_at`, or later."""
        by_start = {claim.start: claim for claim in claims if claim.limit == self.limit.id}
        for window in self._windows():
            if claim := by_start.get(window.start):
                window.told = (claim.spent, claim.held)
        self._earlier = [
            window
            for window in self._earlier
            if window.reserved or (window.news and asked_at < window.ends + REPORTED_AFTER_END)
        ]
        self._leased_until = asked_at + lease

    def granted(self, grant: Grant, asked_at: float) -> Window:
        """Enter a grant; the window that it is of. What was overdrawn is its request's alone, and never usable."""
        window = self.now
        if window is None or window.start != grant.start:
            window = self._entered(grant, asked_at)
        spent, held = window.told or (0, 0)
        window.told = (spent, held + grant.granted)
        self._used, self._held, self._counted = grant.used, grant.held, spent
        if not grant.overdrawn:
            window.usable += grant.granted
        return window

    def _entered(self, grant: Grant, asked_at: float) -> Window:
        """The window of a grant is the one that is now."""
        if self.now is not None:
            self.now.usable = 0
            self._earlier.append(self.now)
        # The store was asked after `asked_at`, so the window ends no earlier than this.
        fresh = Window(grant.start, asked_at + grant.end - grant.at)
        found = next((window for window in self._earlier if window.start == grant.start), fresh)
        self._earlier = [window for window in self._earlier if window is not found]
        self.now = found
        return found

    @property
    def settled(self) -> bool:
        """Nothing is under way, and the store knows all."""
        return not any(window.reserved or window.news for window in self._windows())

    def _windows(self) -> list[Window]:
        return self._earlier if self.now is None else [*self._earlier, self.now]
