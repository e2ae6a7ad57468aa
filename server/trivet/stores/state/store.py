"""The state store: what gateways share, in one place."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection

from trivet.stores.state import (
    bounds,
    budgets,
    feedback,
    gateways,
    hints,
    interactions,
    leases,
    observations,
    rollouts,
    routes,
)
from trivet.stores.state.database import Clock, StateDatabase, now
from trivet.stores.state.desired_adapters import DesiredAdapters
from trivet.types.budget import Claim, Grant
from trivet.types.interaction import InteractionCount, InteractionFilter, SealedInteraction, StoredInteraction
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

_GATEWAY_SECONDS = 86_400.0


class StateStore:
    """Implements `trivet.rollouts.store.RolloutStore`, `trivet.budgets.store.BudgetStore` and
    `trivet.interactions.store.InteractionStore`, which say what it does.

    Beside what is said there, each raises InvalidRequest for a text or a number that is out of bounds. Used from one
    event loop. `close` last.
    """

    def __init__(self, database: StateDatabase) -> None:
        self.desired_adapters = DesiredAdapters(database)
        self._database = database
        self._hints = hints.Hints(None if database.embedded else database.url)

    @classmethod
    def open(cls, where: Path | str, *, password: str | None = None, clock: Clock | None = None) -> StateStore:
        """A SQLite file, made if it is not there, or a `postgresql://` URL with its password; blocks.

        `clock` replaces the file's own; a database server has one. A server that is away is no error: calls raise
        StateUnavailable until it is there. Raises FailedPrecondition if it is no state store, or a newer version's.
        """
        if isinstance(where, Path):
            return cls(StateDatabase.open_file(where, clock))
        return cls(StateDatabase.open_server(where, password))

    def close(self) -> None:
        """Finish what was asked for and close every connection; blocks, and may be called from any thread."""
        self._database.close()

    async def now(self) -> float:
        return await self._database.run(now)

    async def announce(self, digests: Mapping[str, str]) -> Mapping[str, int]:
        bounds.check_digests(digests)
        announced = partial(routes.announce, digests=digests)
        return await self._change(announced) if digests else {}

    async def current(self) -> Mapping[str, RolloutRecord]:
        return await self._database.run(rollouts.current)

    async def rollout(self, rollout: str) -> RolloutRecord:
        return await self._database.run(partial(rollouts.by_id, rollout=rollout))

    async def history(self, route: str, limit: int = 20) -> Sequence[RolloutRecord]:
        return await self._database.run(partial(rollouts.history, route=route, limit=bounds.rows(limit)))

    async def create(
        self, route: str, spec_digest: str, spec: str, *, actor: str, reason: str, restart: bool = False
    ) -> RolloutRecord:
        bounds.check_texts(
            route=(route, bounds.NAME), spec_digest=(spec_digest, bounds.ID), spec=(spec, bounds.SPEC),
            actor=(actor, bounds.NAME), reason=(reason, bounds.REASON),
        )  # fmt: skip
        made = partial(
            rollouts.create,
            route=route, spec_digest=spec_digest, spec=spec, actor=actor, reason=reason, restart=restart,
        )  # fmt: skip
        return await self._change(made)

    async def move(self, rollout: str, expected_revision: int, move: Move, lease: Lease | None = None) -> RolloutRecord:
        bounds.check_move(move)
        moved = partial(rollouts.move, rollout=rollout, expected_revision=expected_revision, wanted=move, lease=lease)
        return await self._change(moved)

    async def transitions(self, route: str, after_revision: int = 0, limit: int = 1000) -> Sequence[Transition]:
        asked = partial(rollouts.audit_log, route=route, after_revision=after_revision, limit=bounds.rows(limit))
        return await self._database.run(asked)

    async def tell_look(self, rollout: str, evidence: str) -> None:
        bounds.check_texts(rollout=(rollout, bounds.ID), evidence=(evidence, bounds.EVIDENCE))
        await self._database.run(partial(rollouts.tell_look, rollout=rollout, evidence=evidence))

    async def last_look(self, rollout: str) -> str | None:
        return await self._database.run(partial(rollouts.last_look, rollout=rollout))

    async def take_lease(self, name: str, owner: str, seconds: float) -> Lease | None:
        bounds.check_lease(name, owner, seconds)
        return await self._database.run(partial(leases.take, name=name, owner=owner, seconds=seconds))

    async def release_lease(self, lease: Lease) -> None:
        await self._database.run(partial(leases.release, lease=lease))

    async def append(self, batches: Sequence[ObservationBatch]) -> int:
        bounds.check_batches(batches)
        return await self._database.run(partial(observations.append, new=batches)) if batches else 0

    async def batches(self, rollout: str, after_number: int = 0, limit: int = 100) -> Sequence[StoredBatch]:
        asked = partial(observations.read, rollout=rollout, after_number=after_number, limit=bounds.rows(limit))
        return await self._database.run(asked)

    async def heartbeat(self, status: GatewayStatus) -> None:
        bounds.check_status(status)
        await self._database.run(partial(gateways.heartbeat, status=status))

    async def gateways(self, within_seconds: float) -> Sequence[GatewayStatus]:
        return await self._database.run(partial(gateways.alive, within_seconds=within_seconds))

    async def prune(self, keep_seconds: float) -> int:
        def pruned(connection: Connection) -> int:
            at = now(connection)
            gateways.forget(connection, at - _GATEWAY_SECONDS)
            return observations.forget(connection, at - keep_seconds)

        return await self._database.run(pruned)

    def hints(self) -> AsyncIterator[None]:
        return self._hints.listen()

    async def add_feedback(self, feedback_: Feedback) -> bool:
        bounds.check_feedback(feedback_)
        return await self._database.run(partial(feedback.add, said=feedback_))

    async def feedback(self, tenant: str, request_id: str) -> Feedback | None:
        return await self._database.run(partial(feedback.get, tenant=tenant, request_id=request_id))

    async def add_interactions(self, new: Sequence[SealedInteraction], ages: Sequence[float]) -> int:
        bounds.check_interactions(new)
        return await self._database.run(partial(interactions.append, new=new, ages=ages)) if new else 0

    async def interactions(
        self, wanted: InteractionFilter, after_number: int = 0, limit: int = 100
    ) -> Sequence[StoredInteraction]:
        asked = partial(interactions.read, wanted=wanted, after_number=after_number, limit=bounds.rows(limit))
        return await self._database.run(asked)

    async def count_interactions(self, wanted: InteractionFilter) -> Sequence[InteractionCount]:
        return await self._database.run(partial(interactions.count, wanted=wanted))

    async def erase_interactions(
        self, tenant: str, units: Sequence[str] = (), request_ids: Sequence[str] = (), *, everything: bool = False
    ) -> int:
        bounds.check_units(units, request_ids)
        erased = partial(interactions.erase, tenant=tenant, units=units, request_ids=request_ids, everything=everything)
        return await self._database.run(erased)

    async def forget_interactions(self, keep_seconds: float) -> int:
        def forgotten(connection: Connection) -> int:
            return interactions.forget(connection, now(connection) - keep_seconds)

        return await self._database.run(forgotten)

    async def exchange_budgets(
        self, gateway: str, number: int, lease_seconds: float, claims: Sequence[Claim]
    ) -> Sequence[Grant] | None:
        bounds.check_claims(gateway, lease_seconds, claims)
        exchanged = partial(
            budgets.exchange, gateway=gateway, number=number, lease_seconds=lease_seconds, claims=claims
        )
        return await self._database.run(exchanged)

    async def forget_budgets(self) -> int:
        return await self._database.run(budgets.forget)

    async def budget_usage(self, limit: str, start: int) -> tuple[int, int]:
        return await self._database.run(partial(budgets.usage, limit=limit, start=start))

    async def _change(self, work: Callable[[Connection], ResultT]) -> ResultT:
        """Work that others are told of."""

        def told(connection: Connection) -> ResultT:
            result = work(connection)
            hints.send(connection)
            return result

        result = await self._database.run(told)
        self._hints.tell()
        return result
