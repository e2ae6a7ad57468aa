"""The leader's part: look at every rollout that runs, decide, and write the transition down."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from trivet.errors import Conflict, LeaseLost, StateUnavailable
from trivet.rollouts.control.audit import evidence_json
from trivet.rollouts.control.records import began_step, move_to, position_of, spec_of
from trivet.rollouts.control.replay import Replay
from trivet.rollouts.control.snapshots import StepSnapshots, snapshots_of
from trivet.rollouts.control.timing import Timing
from trivet.rollouts.judgement.case import Health
from trivet.rollouts.judgement.decisions import decide
from trivet.rollouts.ports.operations import Look
from trivet.rollouts.spec import RolloutSpec
from trivet.rollouts.states import TERMINAL, Event, State, apply
from trivet.rollouts.store import RolloutStore
from trivet.types.rollout_state import GatewayStatus, Lease, RolloutRecord, Transition

logger = logging.getLogger(__name__)

LEASE = "rollouts"
LEASE_SECONDS = 3.0
LOOK_SECONDS = 1.0
TOLD_SECONDS = 2.0
"""Between two looks that other gateways are told of."""
LIVE_SECONDS = 10.0
"""A gateway whose heartbeat is older is not waited for."""
AWAY_SECONDS = 15.0
"""A controller that could not ask for longer than this, and then leads, takes it for a hole."""
ACTOR = "controller"
_BATCHES_AT_ONCE = 100
_ALARMING = (Event.ROLLBACK, Event.HALT)
_ENTRIES = 1000  # of the audit log, the latest ones


@dataclass(slots=True)
class _Judged:
    spec: RolloutSpec
    replay: Replay
    snapshots: StepSnapshots
    revision: int  # up to which its transitions are known
    told: float = 0.0  # when the store last heard of a look, by its clock
    forgiven: float = 0.0  # holes up to here were accepted by whoever resumed the rollout

    def hear(self, entry: Transition) -> None:
        """Of a transition, whoever made it."""
        self.revision = max(self.revision, entry.revision)
        if began_step(entry):
            self.replay.begin(entry.to_step, entry.at)
        if entry.event == Event.START.value:
            self.replay.start(entry.at)
        if entry.event == Event.RESUME.value:
            self.forgiven = max(self.forgiven, entry.at)


class Controller:
    """Tries to lead, and decides while it does. All calls come from one event loop.

    `on_look` is told each look at a rollout that runs, `on_move` each transition made. Several controllers may run: the
    lease lets one decide, and its fence refuses one that has slept.
    """

    def __init__(
        self,
        store: RolloutStore,
        owner: str,
        timing: Timing,
        on_look: Callable[[RolloutRecord, Look], None],
        lease_seconds: float = LEASE_SECONDS,
        on_move: Callable[[RolloutRecord], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._owner = owner
        self._timing = timing
        self._on_look = on_look
        self._lease_seconds = lease_seconds
        self._on_move = on_move
        self._judged: dict[str, _Judged] = {}
        self._read_before: dict[str, Replay] = {}  # while it led: leaders that take turns still come to an end
        self._away: dict[str, list[tuple[float, str]]] = {}
        self._asked: float | None = None
        self._read_until = 0.0
        self.leads = False

    async def run(self) -> None:
        """Look each second, until cancelled; then others may lead at once."""
        lease: Lease | None = None
        away = False  # said once, and not each second
        try:
            while True:
                try:
                    lease = await self.look()
                    away = False
                except StateUnavailable as problem:
                    logger.log(logging.DEBUG if away else logging.WARNING, "rollouts are not judged: %s", problem)
                    away = True
                except LeaseLost as problem:
                    logger.info("somebody else leads now: %s", problem)
                except Exception:
                    logger.exception("rollouts could not be judged; tried again")
                await self._timing.sleep(LOOK_SECONDS)
        finally:
            if lease is not None:
                await self._release(lease)

    async def look(self) -> Lease | None:
        """One look at every rollout that runs; the lease if this controller leads.

        Raises StateUnavailable or LeaseLost: the next look begins with what is in the store then.
        """
        lease = await self._store.take_lease(LEASE, self._owner, self._lease_seconds)
        self._read_until = self._timing.monotonic() + self._lease_seconds / 4  # of all rollouts; each gets one piece
        now = await self._store.now()
        self.leads = lease is not None
        if lease is None:  # whoever leads knows whether anybody could look
            self._read_before |= {rollout: judged.replay for rollout, judged in self._judged.items()}
            self._judged.clear()
            self._asked = now
            return None
        gateways = await self._store.gateways(LIVE_SECONDS)
        running = [record for record in (await self._store.current()).values() if State(record.state) not in TERMINAL]
        away = 0.0 if self._asked is None else now - self._asked
        for record in running:
            if away > AWAY_SECONDS:
                hole = f"nobody could look for {away:.0f} s, for the state store was away"
                self._away.setdefault(record.id, []).append((now, hole))
            await self._judge_alone(record, gateways, lease, now)
        run = {record.id for record in running}
        self._judged = {rollout: judged for rollout, judged in self._judged.items() if rollout in run}
        self._read_before = {rollout: replay for rollout, replay in self._read_before.items() if rollout in run}
        self._away = {rollout: holes for rollout, holes in self._away.items() if rollout in run}
        self._asked = now
        return lease

    async def _release(self, lease: Lease) -> None:
        try:
            await self._store.release_lease(lease)
        except StateUnavailable:
            logger.info("the lease of rollouts runs out by itself")

    async def _judge_alone(
        self, record: RolloutRecord, gateways: Sequence[GatewayStatus], lease: Lease, now: float
    ) -> None:
        """One rollout that cannot be judged keeps no other from it."""
        try:
            await self._judge(record, gateways, lease, now)
        except LeaseLost:
            self._asked = now  # the store was there
            raise
        except Conflict as problem:
            logger.info("somebody else has moved the rollout of route %s: %s", record.route, problem)
        except ValueError:
            logger.exception("rollout %s of route %s cannot be judged; it stays as it is", record.id, record.route)

    async def _judge(self, record: RolloutRecord, gateways: Sequence[GatewayStatus], lease: Lease, now: float) -> None:
        judged = await self._judged_of(record)
        if not await self._read(record, judged.replay):
            return
        position = position_of(record)
        statistics = judged.replay.statistics(position, now)
        health = self._health(record, judged, gateways)
        decision = decide(judged.spec, position, statistics, health, now)
        thresholds = judged.replay.thresholds
        self._on_look(record, Look(now, decision, health, thresholds))
        if decision.event is None and now - judged.told < TOLD_SECONDS:
            return
        evidence = evidence_json(
            judged.spec, position, statistics, health, thresholds, decision, now, judged.replay.number,
            snapshots_of(record, gateways),
        )  # fmt: skip
        judged.told = now
        await self._store.tell_look(record.id, evidence)
        if decision.event is None:
            return
        after = apply(position, decision.event, judged.spec, now)
        wanted = move_to(after, decision.event.value, decision.reason.value, decision.message, ACTOR, evidence)
        moved = await self._store.move(record.id, record.revision, wanted, lease)
        self._on_move(moved)
        level = logging.WARNING if decision.event in _ALARMING else logging.INFO
        logger.log(level, "rollout of route %s: %s, %s", record.route, moved.state, decision.message)

    async def _judged_of(self, record: RolloutRecord) -> _Judged:
        """What is known of it, with all that happened to it since."""
        known = self._judged.get(record.id)
        if known is not None and known.revision == record.revision:
            return known
        heard = max(0, record.revision - _ENTRIES) if known is None else known.revision
        log = [one for one in await self._store.transitions(record.route, heard, _ENTRIES) if one.rollout == record.id]
        if known is None:
            spec = spec_of(record)
            replay = self._read_before.pop(record.id, None) or Replay(spec)
            known = self._judged[record.id] = _Judged(spec, replay, StepSnapshots(log), record.revision)
        for entry in log:
            known.hear(entry)
        return known

    async def _read(self, record: RolloutRecord, replay: Replay) -> bool:
        """Take what has come since the last look; many batches give way to others in between. Whether that was all.

        A leader that takes over a long rollout goes on with the next look, for others have to be judged too, and the
        lease has to be renewed. None is taken that came after the record was read: it may be of a step that is not
        heard of yet.
        """
        while (left := record.batches - replay.number) > 0:
            batches = await self._store.batches(record.id, replay.number, min(left, _BATCHES_AT_ONCE))
            if not batches:
                return True
            for batch in batches:
                replay.take(batch)
                await asyncio.sleep(0)
            if left > len(batches) and self._timing.monotonic() > self._read_until:
                left -= len(batches)
                logger.info("rollout of route %s: %d batches of observations are still to be read", record.route, left)
                return False
        return True

    def _health(self, record: RolloutRecord, judged: _Judged, gateways: Sequence[GatewayStatus]) -> Health:
        known = (*judged.replay.holes, *self._away.get(record.id, ()))
        since = max(judged.forgiven, record.judged_since)
        return Health(
            holes=tuple(dict.fromkeys(text for at, text in known if at > since))[:8],
            waiting_for=tuple(_waiting_for(record, gateways)),
            stable_slowdown=judged.replay.stable_slowdown,
            mismatch_cause=_mismatch_cause(record, gateways),
            switched=judged.snapshots.switched(position_of(record), snapshots_of(record, gateways)),
        )


def _waiting_for(record: RolloutRecord, gateways: Sequence[GatewayStatus]) -> Sequence[str]:
    """The live gateways with this spec that are not ready for the rollout as it is now, and why."""
    same = [gateway for gateway in gateways if gateway.spec_digests.get(record.route) == record.spec_digest]
    if not same:
        return ["no gateway has this spec in its configuration"]
    return [f"{gateway.id}: {why}" for gateway in same if (why := _why_not_ready(record, gateway))]


def _why_not_ready(record: RolloutRecord, gateway: GatewayStatus) -> str:
    applied = gateway.applied.get(record.route, 0)
    if applied < record.revision:
        return f"serves revision {applied}, expected {record.revision}"
    return gateway.ready.get(record.route, "has not said whether the candidate is warm")


def _mismatch_cause(record: RolloutRecord, gateways: Sequence[GatewayStatus]) -> str:
    other: Mapping[str, str] = {
        gateway.id: f"{gateway.id} has another spec"
        for gateway in gateways
        if record.route in gateway.spec_digests and gateway.spec_digests[record.route] != record.spec_digest
    }
    behind = {
        gateway.id: f"{gateway.id} serves revision {gateway.applied[record.route]}"
        for gateway in gateways
        if 0 < gateway.applied.get(record.route, 0) < record.revision
    }
    held = {
        gateway.id: f"{gateway.id} holds the route at stable"
        for gateway in gateways
        if record.route in gateway.overrides
    }
    return "; ".join(({**other, **behind, **held}).values())
