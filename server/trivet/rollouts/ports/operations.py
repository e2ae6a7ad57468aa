"""What operators see of rollouts and change by hand: the seam between the Admin calls and those who run rollouts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from trivet.rollouts.judgement.case import Health
from trivet.rollouts.judgement.decisions import Decision
from trivet.rollouts.spec import RolloutSpec
from trivet.rollouts.states import State
from trivet.rollouts.tallying.thresholds import Thresholds
from trivet.types.rollout_state import StoredBatch, Transition


@dataclass(frozen=True, slots=True)
class Look:
    """What the data said when the leader looked, and what followed. `at`: seconds of the store's clock."""

    at: float
    decision: Decision
    health: Health
    thresholds: Thresholds


@dataclass(frozen=True, slots=True)
class GatewayView:
    """A gateway as a rollout sees it.

    `age`: seconds since its heartbeat, by the store's clock; `live`: young enough to be waited for. `applied`: the
    revision of the route that it serves. `problem`: why the candidate is not warm there, empty if it is. `same_spec`:
    its configuration has the rollout's spec. `overridden`: rolled back by hand there alone, while the store was away.
    """

    id: str
    address: str
    age: float
    live: bool
    applied: int
    problem: str = ""
    same_spec: bool = True
    overridden: bool = False


@dataclass(frozen=True, slots=True)
class RolloutStatus:
    """A rollout, as far as the gateway that is asked knows it. Times are seconds of the store's clock.

    `since`: when the state, or the step in it, began; `judged_since`: the step's statistics. `look`: None if none was
    taken yet. `staleness`: seconds since this gateway last read the store.
    """

    id: str
    route: str
    spec: RolloutSpec
    spec_digest: str
    state: State
    step: int
    share: float
    revision: int
    created_at: float
    since: float
    judged_since: float
    last: Transition | None = None
    look: Look | None = None
    gateways: tuple[GatewayView, ...] = ()
    staleness: float = 0.0


class RolloutControl(Protocol):
    """Reads and changes rollouts. Every call but `rollback` raises StateUnavailable while the state store is away.

    A change raises UnknownRoute for a route that is not served or has no rollout in its configuration, Conflict where
    `revision` is given and the rollout is at another one, and FailedPrecondition, naming what applies, where the change
    does not apply. `actor` and `reason` go to the audit log.
    """

    def known(self) -> Sequence[RolloutStatus]:
        """The newest rollout of each route as this gateway knew it last, without asking anybody; for any thread."""
        ...

    def staleness(self) -> float:
        """Seconds since this gateway last read the store; for any thread."""
        ...

    async def status(self, route: str) -> RolloutStatus:
        """The newest rollout of a route, ended or not. Raises UnknownRoute, and NotFound if there never was one."""
        ...

    async def statuses(self) -> Sequence[RolloutStatus]:
        """The newest rollout of each route that has or had one."""
        ...

    async def history(self, route: str, limit: int) -> Sequence[RolloutStatus]:
        """The latest rollouts of a route, newest first; looks and gateways are those of the newest alone."""
        ...

    async def transitions(self, route: str, after_revision: int, limit: int) -> Sequence[Transition]:
        """A route's audit log above a revision, the oldest first."""
        ...

    async def batches(self, rollout: str, after_number: int, limit: int) -> Sequence[StoredBatch]:
        """What a rollout was judged by, above a number. Raises NotFound for an unknown rollout."""
        ...

    def watch(self, route: str) -> AsyncIterator[RolloutStatus]:
        """The status at once, and after each change and each look; for a slow reader the newest one is kept."""
        ...

    async def start(
        self, route: str, *, actor: str, reason: str, revision: int | None = None, restart: bool = False
    ) -> RolloutStatus:
        """Begin what is pending. `restart`: a new rollout of a spec whose rollout has ended."""
        ...

    async def advance(self, route: str, *, actor: str, reason: str, revision: int | None = None) -> RolloutStatus:
        """To the next step, whatever the data say."""
        ...

    async def approve(self, route: str, *, actor: str, reason: str, revision: int | None = None) -> RolloutStatus:
        """Do what the rollout waits for."""
        ...

    async def resume(self, route: str, *, actor: str, reason: str, revision: int | None = None) -> RolloutStatus:
        """Go on after a halt."""
        ...

    async def promote(self, route: str, *, actor: str, reason: str, revision: int | None = None) -> RolloutStatus:
        """All units to the candidate, whatever the data say."""
        ...

    async def rollback(self, route: str, *, actor: str, reason: str, revision: int | None = None) -> RolloutStatus:
        """All units to stable at once. While the store is away: on this gateway alone, told to the store later."""
        ...

    async def cancel(self, route: str, *, actor: str, reason: str, revision: int | None = None) -> RolloutStatus:
        """End without a verdict, all units on stable."""
        ...
