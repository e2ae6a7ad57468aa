"""What operators see and change by hand: implements `trivet.rollouts.ports.operations.RolloutControl`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from trivet.errors import Conflict, FailedPrecondition, NotFound, StateUnavailable, UnknownRoute
from trivet.rollouts.control.audit import look_of
from trivet.rollouts.control.controller import LIVE_SECONDS
from trivet.rollouts.control.follower import Follower
from trivet.rollouts.control.records import move_to, position_of, spec_of
from trivet.rollouts.ports.operations import GatewayView, Look, RolloutStatus
from trivet.rollouts.states import TERMINAL, Event, IllegalTransition, State, apply
from trivet.rollouts.store import RolloutStore
from trivet.types.rollout_state import GatewayStatus, RolloutRecord, StoredBatch, Transition

logger = logging.getLogger(__name__)

SHOWN_SECONDS = 3600.0
"""A gateway that was heard of within this time is shown."""
BY_HAND = "by_hand"
_ATTEMPTS = 5  # of a change without a revision, against a controller that moves the rollout meanwhile


class Operations:
    """Reads and changes rollouts. All calls come from one event loop.

    `specs` gives the specs in the configuration, by route: digest and JSON. `on_move` is told each transition made.
    """

    def __init__(
        self,
        store: RolloutStore,
        follower: Follower,
        specs: Callable[[], Mapping[str, tuple[str, str]]],
        on_move: Callable[[RolloutRecord], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._follower = follower
        self._specs = specs
        self._on_move = on_move
        self._looks: dict[str, Look] = {}
        self._last: dict[str, Transition] = {}
        self._changed = asyncio.Condition()
        self._telling: set[asyncio.Task[None]] = set()

    def looked(self, record: RolloutRecord, look: Look) -> None:
        """The leader looked at a rollout."""
        self._looks[record.id] = look
        self._tell()

    def read(self, records: Mapping[str, RolloutRecord]) -> None:
        """The follower read the store."""
        running = {record.id for record in records.values()}
        self._looks = {rollout: look for rollout, look in self._looks.items() if rollout in running}
        self._tell()

    def known(self) -> Sequence[RolloutStatus]:
        """What this gateway knows of each route's newest rollout, without asking anybody."""
        return [self._status(record, ()) for record in self._follower.records.values()]

    def staleness(self) -> float:
        """Seconds since the store was last read."""
        return self._follower.staleness

    async def status(self, route: str) -> RolloutStatus:
        """See the protocol."""
        return await self._whole(await self._record(route), await self._store.gateways(SHOWN_SECONDS))

    async def statuses(self) -> Sequence[RolloutStatus]:
        """See the protocol."""
        gateways = await self._store.gateways(SHOWN_SECONDS)
        records = await self._store.current()
        return [await self._whole(record, gateways) for record in records.values()]

    async def history(self, route: str, limit: int) -> Sequence[RolloutStatus]:
        """See the protocol."""
        records = await self._store.history(route, limit)
        if not records and route not in self._specs():
            raise UnknownRoute(route)
        newest = [await self.status(route)] if records else []
        return [*newest, *(self._status(record, ()) for record in records[1:])]

    async def transitions(self, route: str, after_revision: int, limit: int) -> Sequence[Transition]:
        """See the protocol."""
        return await self._store.transitions(route, after_revision, limit)

    async def batches(self, rollout: str, after_number: int, limit: int) -> Sequence[StoredBatch]:
        """See the protocol."""
        await self._store.rollout(rollout)
        return await self._store.batches(rollout, after_number, limit)

    async def watch(self, route: str) -> AsyncIterator[RolloutStatus]:
        """See the protocol."""
        yield await self.status(route)
        while True:
            async with self._changed:
                await self._changed.wait()
            yield await self.status(route)

    async def start(
        self, route: str, *, actor: str, reason: str, revision: int | None = None, restart: bool = False
    ) -> RolloutStatus:
        """See the protocol."""
        digest, spec = self._spec(route)
        record = (await self._store.current()).get(route)
        if revision is not None and record is not None and record.revision != revision:
            raise Conflict(
                f"the rollout of route {route!r} is at revision {record.revision}, expected {revision}",
                record.revision,
            )
        ended = record is not None and State(record.state) in TERMINAL
        if record is not None and record.spec_digest == digest and ended and not restart:
            raise FailedPrecondition(
                f"the rollout of route {route!r} has ended ({record.state}), expected another spec, or to be restarted"
            )
        if record is None or record.spec_digest != digest or ended:
            again = restart or record is None or record.spec_digest != digest
            await self._store.create(route, digest, spec, actor=actor, reason=reason, restart=again)
        return await self._move(route, Event.START, actor, reason, None)

    async def advance(self, route: str, *, actor: str, reason: str, revision: int | None = None) -> RolloutStatus:
        """See the protocol."""
        record = await self._record(route)
        before = position_of(record).step < 0
        return await self._move(route, Event.BEGIN_CANARY if before else Event.ADVANCE, actor, reason, revision)

    async def approve(self, route: str, *, actor: str, reason: str, revision: int | None = None) -> RolloutStatus:
        """See the protocol."""
        record = await self._record(route)
        position, spec = position_of(record), spec_of(record)
        if position.state is not State.AWAITING_APPROVAL:
            raise FailedPrecondition(
                f"the rollout of route {route!r} is {record.state}, expected one that awaits approval"
            )
        if position.step < 0:
            event = Event.BEGIN_CANARY
        else:
            event = Event.PROMOTE if position.step == len(spec.steps) - 1 else Event.ADVANCE
        return await self._move(route, event, actor, reason, record.revision if revision is None else revision)

    async def resume(self, route: str, *, actor: str, reason: str, revision: int | None = None) -> RolloutStatus:
        """See the protocol."""
        return await self._move(route, Event.RESUME, actor, reason, revision)

    async def promote(self, route: str, *, actor: str, reason: str, revision: int | None = None) -> RolloutStatus:
        """See the protocol."""
        return await self._move(route, Event.PROMOTE, actor, reason, revision)

    async def rollback(self, route: str, *, actor: str, reason: str, revision: int | None = None) -> RolloutStatus:
        """See the protocol."""
        try:
            return await self._move(route, Event.ROLLBACK, actor, reason, revision)
        except StateUnavailable:
            record = self._follower.records.get(route)
            if record is None or State(record.state) in TERMINAL:
                raise
            self._follower.roll_back_here(route, actor, reason)
            logger.warning("route %s is rolled back on this gateway alone: the state store is away", route)
            return self._status(record, ())

    async def cancel(self, route: str, *, actor: str, reason: str, revision: int | None = None) -> RolloutStatus:
        """See the protocol."""
        return await self._move(route, Event.CANCEL, actor, reason, revision)

    async def _move(self, route: str, event: Event, actor: str, reason: str, revision: int | None) -> RolloutStatus:
        """Without a revision the change is meant whatever the controller did meanwhile, as long as it still applies."""
        for attempt in range(_ATTEMPTS):
            record = await self._record(route)
            try:
                after = apply(position_of(record), event, spec_of(record), await self._store.now())
            except IllegalTransition as problem:
                raise FailedPrecondition(str(problem)) from problem
            wanted = move_to(after, event.value, BY_HAND, reason, actor)
            expected = record.revision if revision is None else revision
            try:
                moved = await self._store.move(record.id, expected, wanted)
            except Conflict:
                if revision is not None or attempt == _ATTEMPTS - 1:
                    raise
                continue
            self._on_move(moved)
            level = logging.WARNING if event is Event.ROLLBACK else logging.INFO
            logger.log(level, "rollout of route %s: %s by %s: %s", route, moved.state, actor, reason)
            self._follower.wake()
            return await self._whole(moved, await self._store.gateways(SHOWN_SECONDS))
        raise AssertionError("unreachable")

    def _spec(self, route: str) -> tuple[str, str]:
        if route not in self._specs():
            raise UnknownRoute(route)
        return self._specs()[route]

    async def _record(self, route: str) -> RolloutRecord:
        record = (await self._store.current()).get(route)
        if record is not None:
            return record
        if route not in self._specs():
            raise UnknownRoute(route)
        raise NotFound(f"route {route!r} has had no rollout yet; `trivet rollout start` begins one")

    async def _whole(self, record: RolloutRecord, gateways: Sequence[GatewayStatus]) -> RolloutStatus:
        """With the leader's newest look, whichever gateway leads, and the last transition."""
        await self._hear_of(record)
        return self._status(record, gateways, await self._last_of(record))

    async def _hear_of(self, record: RolloutRecord) -> None:
        told = await self._store.last_look(record.id)
        if told is None:
            return
        try:
            look = look_of(told)
        except ValueError:
            logger.exception("what the leader saw of rollout %s cannot be read", record.id)
            return
        known = self._looks.get(record.id)
        if known is None or known.at < look.at:
            self._looks[record.id] = look

    async def _last_of(self, record: RolloutRecord) -> Transition | None:
        known = self._last.get(record.route)
        if known is None or known.revision != record.revision:
            found = await self._store.transitions(record.route, record.revision - 1, 1)
            if not found:
                return None
            self._last[record.route] = known = found[0]
        return known

    def _status(
        self, record: RolloutRecord, gateways: Sequence[GatewayStatus], last: Transition | None = None
    ) -> RolloutStatus:
        newest = max((gateway.heartbeat for gateway in gateways), default=0.0)
        return RolloutStatus(
            id=record.id, route=record.route, spec=spec_of(record), spec_digest=record.spec_digest,
            state=State(record.state), step=record.step, share=record.share, revision=record.revision,
            created_at=record.created_at, since=record.since, judged_since=record.judged_since, last=last,
            look=self._looks.get(record.id),
            gateways=tuple(_view(record, gateway, newest) for gateway in gateways),
            staleness=self._follower.staleness,
        )  # fmt: skip

    def _tell(self) -> None:
        task = asyncio.ensure_future(self._notify())
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _view(record: RolloutRecord, gateway: GatewayStatus, now: float) -> GatewayView:
    age = max(0.0, now - gateway.heartbeat)
    return GatewayView(
        id=gateway.id, address=gateway.address, age=age, live=age < LIVE_SECONDS,
        applied=gateway.applied.get(record.route, 0), problem=gateway.ready.get(record.route, ""),
        same_spec=gateway.spec_digests.get(record.route) == record.spec_digest,
        overridden=record.route in gateway.overrides,
    )  # fmt: skip
