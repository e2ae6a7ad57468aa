"""Requests are held against the limits of their tenant and key, before they are admitted.

A request sets aside the most that it may use, and what it really used counts when it ends. Of each limit a gateway
holds a small part, so most requests are let in without asking the store. The store grants a part as long as anything is
left: all gateways together exceed a limit by one request at most.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from trivet.budgets.exchange import Exchange
from trivet.budgets.ledger import Ledger, Window
from trivet.budgets.reservation import NOTHING, Reservation, amount, reserved, warnings
from trivet.budgets.store import BudgetStore
from trivet.errors import BudgetExceeded, Overloaded, StateUnavailable
from trivet.types.budget import Grant, Limit, LimitSet, Use

logger = logging.getLogger(__name__)

TELL_SECONDS = 1.0
IDLE_SECONDS = 3.0
_RECHECK_SECONDS = 1.0  # of a limit that is used up: an operator may have raised it
_HELD_SECONDS = 0.2  # of one whose rest is held by requests under way or by other gateways
_CLOSE_SECONDS = 2.0
_AT_ONCE = 10  # tenants
FORGET_SECONDS = 1800.0
_PAUSE_SECONDS = 0.5  # between two pieces of that work, for others
_MOST_WAITING = 64  # requests of one tenant


@dataclass(frozen=True, slots=True)
class BudgetSettings:
    """`lease`: seconds that what a gateway holds stays its own without a word of it.

    `allow_without_store`: what becomes of a request while the store is away and this gateway holds too little for it.
    """

    lease: float = 15.0
    allow_without_store: bool = False


class Budgets:
    """Every call comes from one event loop. `start`, and `close` last."""

    def __init__(
        self,
        store: BudgetStore,
        limits: LimitSet,
        settings: BudgetSettings = BudgetSettings(),
        *,
        clock: Callable[[], float] = time.monotonic,
        on_refused: Callable[[Limit], None] = lambda _: None,
        on_unchecked: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._limits = limits
        self._settings = settings
        self._clock = clock
        self._on_refused = on_refused
        self._on_unchecked = on_unchecked
        self._exchange = Exchange(store, clock)
        self._books: dict[str, dict[str, Ledger]] = {}  # by tenant and limit
        self._locks: dict[str, asyncio.Lock] = {}
        self._asking: set[asyncio.Task[Reservation]] = set()
        self._waiting: Counter[str] = Counter()
        self._tasks: list[asyncio.Task[None]] = []
        self._news = asyncio.Event()

    def start(self) -> None:
        """From now on the store is told what was spent, and forgets windows that are long over."""
        self._tasks = [
            asyncio.create_task(self._tell_on(), name="telling the store of budgets"),
            asyncio.create_task(self._forget_on(), name="forgetting windows of budgets"),
        ]

    async def close(self) -> None:
        """Tell what was spent and give back what is held, if the store is there."""
        tasks = [*self._asking, *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(StateUnavailable, TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                for tenant in list(self._books):
                    await self._tell(tenant, idle_seconds=0.0)

    def replace(self, limits: LimitSet, settings: BudgetSettings) -> None:
        """From now on these hold. What was used of a limit stays used, however much it is now."""
        self._limits, self._settings = limits, settings

    def shares(self) -> Mapping[Limit, float]:
        """How much is used of each limit that holds now, as far as this gateway knows; for any thread."""
        at, limits = self._clock(), self._limits
        ledgers = [ledger for book in list(self._books.values()) for ledger in list(book.values())]
        found: dict[Limit, float] = {}
        for ledger in ledgers:
            limit = limits.now(ledger.limit)
            if limit is not None:  # the ledger learns of another amount with its next request
                found[limit] = ledger.share(at) * ledger.limit.most / limit.most
        return found

    def limited(self, tenant: str, key: str) -> bool:
        """Whether there is any limit that a request is held against."""
        return bool(self._limits.of(tenant, key))

    async def reserve(self, tenant: str, key: str, worst: Use) -> Reservation:
        """Set aside the most that a request may use; `settle` when it has ended, however it did.

        Raises BudgetExceeded if a limit is reached, StateUnavailable if that cannot be known and is not allowed, and
        Overloaded if too many of the tenant's wait to know. Cancelled, nothing stays set aside.
        """
        limits = self._limits.of(tenant, key)
        if not limits:
            return Reservation()
        at = self._clock()
        ledgers = [self._ledger(tenant, limit) for limit in limits]
        for ledger in ledgers:
            ledger.last_used = at
        if (held := self._at_once(ledgers, worst, at)) is not None:
            return held
        if self._waiting[tenant] >= _MOST_WAITING:
            raise Overloaded(f"requests of tenant {tenant} for their limits", _MOST_WAITING, 1.0)
        task = asyncio.create_task(self._after_asking(tenant, ledgers, worst))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        self._waiting[tenant] += 1
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_abandoned)
            raise
        finally:
            self._waiting[tenant] -= 1

    def settle(self, reservation: Reservation, used: Use) -> None:
        """A request has ended, and used this; once."""
        reservation.settle(used)
        if any(part.overdrawn for part in reservation.parts):
            self._news.set()  # others wait for what it did not use

    def _ledger(self, tenant: str, limit: Limit) -> Ledger:
        ledger = self._books.setdefault(tenant, {}).setdefault(limit.id, Ledger(limit))
        if ledger.limit != limit:
            ledger.change(limit)
        return ledger

    def _at_once(self, ledgers: Sequence[Ledger], worst: Use, at: float) -> Reservation | None:
        """Set it aside if this gateway holds enough of each limit; BudgetExceeded if one was reached just now."""
        for ledger in ledgers:
            if at < ledger.refused_until and ledger.ends_in(at):
                self._refuse(ledger, at)
        windows = [ledger.covers(amount(ledger.limit, worst), at) for ledger in ledgers]
        if None in windows:
            return None
        parts = [reserved(one, window, worst) for one, window in zip(ledgers, windows, strict=True) if window]
        return Reservation(parts, warnings(ledgers, at))

    async def _after_asking(self, tenant: str, ledgers: Sequence[Ledger], worst: Use) -> Reservation:
        async with self._locks.setdefault(tenant, asyncio.Lock()):
            at = self._clock()
            if (held := self._at_once(ledgers, worst, at)) is not None:
                return held  # the one before has been granted more than it needed
            for ledger in ledgers:
                ledger.drop_expired(at)
            # What there is enough of is set aside first, so that nobody takes it while the store is asked for the rest.
            covered = [(one, one.covers(amount(one.limit, worst), at)) for one in ledgers]
            parts = [reserved(ledger, window, worst) for ledger, window in covered if window is not None]
            lacking = {one: amount(one.limit, worst) for one, window in covered if window is None}
            try:
                grants = await self._exchange.call(lacking, self._settings.lease)
                self._refuse_reached(grants)
            except StateUnavailable as error:
                Reservation(parts).settle(NOTHING)
                return self._without_store(ledgers, worst, error)
            except BaseException:
                Reservation(parts).settle(NOTHING)
                raise
            parts += [
                reserved(ledger, window, worst, overdrawn=grant.overdrawn) for ledger, (grant, window) in grants.items()
            ]
            return Reservation(parts, warnings(ledgers, self._clock()))

    def _refuse_reached(self, grants: Mapping[Ledger, tuple[Grant, Window]]) -> None:
        if all(grant.granted for grant, _ in grants.values()):
            return
        at = self._clock()
        reached = [ledger for ledger, (grant, _) in grants.items() if grant.used + grant.held >= ledger.limit.most]
        for ledger in reached:
            ledger.refused_until = at + (_RECHECK_SECONDS if ledger.used >= ledger.limit.most else _HELD_SECONDS)
            ledger.keep_nothing()  # the little that is left may be what this gateway itself keeps
        self._news.set()
        self._refuse(max(reached, key=lambda ledger: ledger.ends_in(at)), at)

    def _refuse(self, ledger: Ledger, at: float) -> NoReturn:
        """The limit's window must end first, unless what is used leaves something and it is only held."""
        limit = ledger.limit
        self._on_refused(limit)
        retry_after = ledger.ends_in(at) if ledger.used >= limit.most else min(1.0, ledger.ends_in(at))
        raise BudgetExceeded(f"{limit.owner.value} {limit.name}", str(limit), max(0.001, retry_after))

    def _without_store(self, ledgers: Sequence[Ledger], worst: Use, error: StateUnavailable) -> Reservation:
        if not self._settings.allow_without_store:
            raise error
        self._on_unchecked()
        at = self._clock()
        open_windows = [(one, one.now) for one in ledgers if one.now is not None and at < one.now.ends]
        return Reservation([reserved(one, window, worst, overdrawn=True) for one, window in open_windows])

    async def _tell_on(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(TELL_SECONDS):
                    await self._news.wait()
            self._news.clear()
            for number, tenant in enumerate(list(self._books)):
                if number % _AT_ONCE == _AT_ONCE - 1:
                    await asyncio.sleep(0)  # most have nothing to tell, which takes no time but the event loop's
                try:
                    await self._tell(tenant, IDLE_SECONDS)
                except StateUnavailable:
                    break  # the log has it; everything is told when the store is back
                except Exception:
                    logger.exception("the store could not be told of the budgets of tenant %s", tenant)

    async def _forget_on(self) -> None:
        while True:
            await asyncio.sleep(FORGET_SECONDS * (0.5 + random.random()))  # not all gateways at once
            with suppress(StateUnavailable):
                left = 1
                while left:
                    left = await self._store.forget_budgets()
                    await asyncio.sleep(_PAUSE_SECONDS)

    async def _tell(self, tenant: str, idle_seconds: float) -> None:
        async with self._locks.setdefault(tenant, asyncio.Lock()):
            at, book, lease = self._clock(), self._books[tenant], self._settings.lease
            for ledger in book.values():
                ledger.drop_expired(at)
                ledger.give_back(at, idle_seconds)
            due = [ledger for ledger in book.values() if ledger.must_tell(at, lease)]
            if due:
                await self._exchange.call(dict.fromkeys(due, 0), lease)
            for ledger in [one for one in book.values() if one.settled and at - one.last_used > _forgotten(one)]:
                del book[ledger.limit.id]


def _forgotten(ledger: Ledger) -> float:
    """Seconds without a request after which a ledger need not be kept: its window is over."""
    return 0.0 if ledger.now is None else max(IDLE_SECONDS, ledger.limit.period.longest)


def _abandoned(task: asyncio.Task[Reservation]) -> None:
    """Its request was cancelled meanwhile."""
    if not task.cancelled() and task.exception() is None:
        task.result().settle(NOTHING)
