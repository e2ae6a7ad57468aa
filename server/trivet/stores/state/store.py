"""The state store: what gateways share, in one place."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection

from trivet.stores.state import feedback, gateways, hints, leases, observations, rollouts, routes
from trivet.stores.state.database import StateDatabase, now
from trivet.types.rollout_state import (
    Feedback,
    GatewayStatus,
    Lease,
    Move,
    ObservationBatch,
    RolloutRecord,
    StoredBatch,
    Transition,
)

ResultT = TypeVar("ResultT")


class StateStore:
    """Implements `trivet.rollouts.store.RolloutStore`; every method says there what it does.

    Made and used in one event loop. `close` last.
    """

    def __init__(self, database: StateDatabase) -> None:
        self._database = database
        self._local_hints = hints.LocalHints()

    @classmethod
    def open(cls, where: Path | str) -> StateStore:
        """A SQLite file or a `postgresql://` URL; blocks. Raises StateUnavailable, or FailedPrecondition."""
        return cls(StateDatabase.open(where))

    def close(self) -> None:
        """Finish what was asked for and close every connection."""
        self._database.close()

    async def now(self) -> float:
        return await self._database.run(now)

    async def announce(self, digests: Mapping[str, str]) -> Mapping[str, int]:
        return await self._database.run(partial(routes.announce, digests=digests))

    async def current(self) -> Mapping[str, RolloutRecord]:
        return await self._database.run(rollouts.current)

    async def rollout(self, rollout: str) -> RolloutRecord:
        return await self._database.run(partial(rollouts.by_id, rollout=rollout))

    async def history(self, route: str, limit: int = 20) -> Sequence[RolloutRecord]:
        return await self._database.run(partial(rollouts.history, route=route, limit=limit))

    async def create(
        self, route: str, spec_digest: str, spec: str, *, actor: str, reason: str, restart: bool = False
    ) -> RolloutRecord:
        made = partial(
            rollouts.create,
            route=route, spec_digest=spec_digest, spec=spec, actor=actor, reason=reason, restart=restart,
        )  # fmt: skip
        return await self._change(made)

    async def move(self, rollout: str, expected_revision: int, move: Move, lease: Lease | None = None) -> RolloutRecord:
        moved = partial(rollouts.move, rollout=rollout, expected_revision=expected_revision, wanted=move, lease=lease)
        return await self._change(moved)

    async def transitions(self, route: str, after_revision: int = 0, limit: int = 1000) -> Sequence[Transition]:
        asked = partial(rollouts.audit_log, route=route, after_revision=after_revision, limit=limit)
        return await self._database.run(asked)

    async def take_lease(self, name: str, owner: str, seconds: float) -> Lease | None:
        return await self._database.run(partial(leases.take, name=name, owner=owner, seconds=seconds))

    async def release_lease(self, lease: Lease) -> None:
        await self._database.run(partial(leases.release, lease=lease))

    async def append(self, batches: Sequence[ObservationBatch]) -> int:
        return await self._database.run(partial(observations.append, new=batches))

    async def batches(self, rollout: str, after_number: int = 0, limit: int = 100) -> Sequence[StoredBatch]:
        asked = partial(observations.read, rollout=rollout, after_number=after_number, limit=limit)
        return await self._database.run(asked)

    async def heartbeat(self, status: GatewayStatus) -> None:
        await self._database.run(partial(gateways.heartbeat, status=status))

    async def gateways(self, within_seconds: float) -> Sequence[GatewayStatus]:
        return await self._database.run(partial(gateways.alive, within_seconds=within_seconds))

    def hints(self) -> AsyncIterator[None]:
        if self._database.embedded:
            return self._local_hints.listen()
        return hints.listen(self._database.url)

    async def add_feedback(self, feedback_: Feedback) -> bool:
        return await self._database.run(partial(feedback.add, said=feedback_))

    async def feedback(self, tenant: str, request_id: str) -> Feedback | None:
        return await self._database.run(partial(feedback.get, tenant=tenant, request_id=request_id))

    async def _change(self, work: Callable[[Connection], ResultT]) -> ResultT:
        """Work that others are told of."""

        def told(connection: Connection) -> ResultT:
            result = work(connection)
            hints.send(connection)
            return result

        result = await self._database.run(told)
        self._local_hints.send()
        return result
