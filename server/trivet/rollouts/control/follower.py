"""Every gateway's part: serve what the store says, tell it what is served, and get by while it is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Protocol

from trivet.errors import StateUnavailable
from trivet.rollouts.control.overrides import Overrides
from trivet.rollouts.control.records import served, spec_of
from trivet.rollouts.control.timing import Timing
from trivet.rollouts.states import TERMINAL, State
from trivet.rollouts.store import RolloutStore
from trivet.types.rollout import RouteRollout
from trivet.types.rollout_state import GatewayStatus, RolloutRecord

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0


class Steered(Protocol):
    """The routes of this gateway, as rollouts see them."""

    def steer(self, rollouts: Mapping[str, RouteRollout | None], revisions: Mapping[str, int]) -> Mapping[str, str]:
        """Serve these rollouts at once; why a route is held at stable, by route."""
        ...

    def spec_digests(self) -> Mapping[str, str]:
        """Of the rollouts in the configuration, by route."""
        ...

    def applied(self) -> Mapping[str, int]:
        """The revision that is served, by route."""
        ...

    def unready(self, route: str) -> str:
        """Why a variant that the route's rollout needs is not warm; empty if all are."""
        ...

    def snapshots(self) -> Mapping[str, str]:
        """The live snapshots of the indexes that the arms use, by route."""
        ...


async def nothing() -> None:
    """What a gateway has to tell the store that has told it all."""


class Follower:
    """Reads the store once a second, and at once on a hint. All calls come from one event loop.

    While the store cannot be read the last state is served on. A rollout that runs is given up after `cut_off_after`
    seconds: all units have stable here until the store is back, for a rollback elsewhere could not be heard of.
    """

    def __init__(
        self,
        store: RolloutStore,
        routes: Steered,
        overrides: Overrides,
        identity: GatewayStatus,
        timing: Timing,
        cut_off_after: float,
        on_records: Callable[[Mapping[str, RolloutRecord]], None] = lambda _: None,
        first: Callable[[], Awaitable[None]] = nothing,
    ) -> None:
        """`identity`: id, epoch and address of this gateway. `on_records` is told what was read.

        `first` is done before each reading: what this gateway still has to tell the store.
        """
        self._store = store
        self._routes = routes
        self._overrides = overrides
        self._identity = identity
        self._timing = timing
        self._cut_off_after = cut_off_after
        self._on_records = on_records
        self._first = first
        self._records: Mapping[str, RolloutRecord] = {}
        self._rollouts: Mapping[str, RouteRollout | None] = {}
        self._read_at = timing.monotonic()
        self._woken = asyncio.Event()
        self.cut_off = False

    @property
    def records(self) -> Mapping[str, RolloutRecord]:
        """The newest rollout of each route, as the store last had it."""
        return self._records

    def served(self, route: str) -> RouteRollout | None:
        """The route's rollout as this gateway was last told to serve it."""
        return self._rollouts.get(route)

    @property
    def staleness(self) -> float:
        """Seconds since the store was last read."""
        return self._timing.monotonic() - self._read_at

    def wake(self) -> None:
        """Read the store now."""
        self._woken.set()

    async def run(self) -> None:
        """Follow until cancelled."""
        hints = asyncio.create_task(self._listen())
        try:
            while True:
                await self.follow()
                await self._pause()
        finally:
            hints.cancel()
            await asyncio.gather(hints, return_exceptions=True)

    async def follow(self) -> None:
        """Read the store, serve what it says, and tell it so. While it is away, decide whether to go on."""
        try:
            await self._first()
            await self._overrides.reconcile(self._store)
            records = await self._store.current()
            self._take(records)
            await self._store.heartbeat(self._status())
        except StateUnavailable as problem:
            logger.debug("the state store cannot be read: %s", problem)
            self._get_by()
        except Exception:
            logger.exception("rollouts could not be followed; tried again")

    def roll_back_here(self, route: str, actor: str, reason: str) -> None:
        """Stable alone on this gateway, until the store is back and told. Raises KeyError for an unknown route."""
        record = self._records[route]
        self._overrides.add(record, actor, reason)
        self._serve()

    def _take(self, records: Mapping[str, RolloutRecord]) -> None:
        self._records = records
        self._read_at = self._timing.monotonic()
        if self.cut_off:
            logger.warning("the state store can be read again: rollouts go on")
        self.cut_off = False
        self._serve()
        self._on_records(records)

    def _get_by(self) -> None:
        running = any(State(record.state) not in (*TERMINAL, State.PENDING) for record in self._records.values())
        if self.cut_off or not running or self.staleness < self._cut_off_after:
            return
        logger.warning("the state store cannot be read for %.0f s: routes with a rollout have stable", self.staleness)
        self.cut_off = True
        self._serve()

    def _serve(self) -> None:
        rollouts: dict[str, RouteRollout | None] = {}
        for route, record in self._records.items():
            try:
                rollout = served(record, spec_of(record))
            except ValueError:
                logger.exception("rollout %s of route %s cannot be served", record.id, route)
                rollouts[route] = None
                continue
            held = self.cut_off and not rollout.ended
            if held or self._overrides.holds(record):
                rollout = replace(rollout, share=0.0, local=True)
            rollouts[route] = rollout
        self._rollouts = rollouts
        self._routes.steer(rollouts, {route: record.revision for route, record in self._records.items()})

    def _status(self) -> GatewayStatus:
        digests = self._routes.spec_digests()
        return replace(
            self._identity,
            applied=self._routes.applied(),
            ready={route: self._routes.unready(route) for route in digests},
            spec_digests=digests,
            snapshots=self._routes.snapshots(),
            overrides=self._overrides.told(),
        )

    async def _listen(self) -> None:
        async for _ in self._store.hints():
            self._woken.set()

    async def _pause(self) -> None:
        """Until a hint, a second at most."""
        waiting = asyncio.ensure_future(self._woken.wait())
        sleeping = asyncio.ensure_future(self._timing.sleep(POLL_SECONDS))
        try:
            await asyncio.wait({waiting, sleeping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            sleeping.cancel()
            await asyncio.gather(waiting, sleeping, return_exceptions=True)
        self._woken.clear()
