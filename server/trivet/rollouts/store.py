"""The seam between rollouts and the state store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

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


class RolloutStore(Protocol):
    """What gateways share. Every call is bounded in time and runs off the event loop.

    Each raises StateUnavailable while the store is away.
    """

    async def now(self) -> float:
        """The store's clock: seconds since 1970."""
        ...

    async def announce(self, digests: Mapping[str, str]) -> Mapping[str, int]:
        """Tell what a gateway serves: a digest of its content by route. Gives each route's revision.

        The same digest as the route's last one has its revision; another one has the next.
        """
        ...

    async def current(self) -> Mapping[str, RolloutRecord]:
        """The newest rollout of each route, ended or not."""
        ...

    async def rollout(self, rollout: str) -> RolloutRecord:
        """One by its id; raises NotFound."""
        ...

    async def history(self, route: str, limit: int = 20) -> Sequence[RolloutRecord]:
        """A route's rollouts, the newest first."""
        ...

    async def create(
        self, route: str, spec_digest: str, spec: str, *, actor: str, reason: str, restart: bool = False
    ) -> RolloutRecord:
        """A pending rollout with a salt of its own; what was running on the route is cancelled in the same transaction.

        A route that ever had this digest keeps its newest rollout, which is returned, unless `restart`: an old
        configuration on one gateway must not revive an old rollout.
        """
        ...

    async def move(self, rollout: str, expected_revision: int, move: Move, lease: Lease | None = None) -> RolloutRecord:
        """Make a transition: row, audit entry and hint in one transaction.

        Raises Conflict if the rollout is at another revision, LeaseLost if the lease has expired or passed on,
        FailedPrecondition if the rollout has ended, and NotFound. An operator's move needs no lease. After
        StateUnavailable it may have been made: look at the revision before trying again.
        """
        ...

    async def transitions(self, route: str, after_revision: int = 0, limit: int = 1000) -> Sequence[Transition]:
        """A route's audit log, the oldest first."""
        ...

    async def tell_look(self, rollout: str, evidence: str) -> None:
        """Let every gateway know what the leader saw; the newest is kept. `evidence`: as in the audit log."""
        ...

    async def last_look(self, rollout: str) -> str | None:
        """What was told last; None if nothing was."""
        ...

    async def take_lease(self, name: str, owner: str, seconds: float) -> Lease | None:
        """Take or renew it; None if another owner holds it."""
        ...

    async def release_lease(self, lease: Lease) -> None:
        """Let others have it at once; nothing if it has passed on already."""
        ...

    async def append(self, batches: Sequence[ObservationBatch]) -> int:
        """Store what is new of these, by (gateway, epoch, seq), in one transaction; how many were.

        One of a rollout that the store does not know is dropped. Sent again, nothing is stored twice.
        """
        ...

    async def batches(self, rollout: str, after_number: int = 0, limit: int = 100) -> Sequence[StoredBatch]:
        """A rollout's batches by number. Fewer than `limit` may come where they are large, but none only at the end."""
        ...

    async def prune(self, keep_seconds: float) -> int:
        """Delete some of the batches of rollouts that ended longer ago; how many. To be called again until it is 0."""
        ...

    async def heartbeat(self, status: GatewayStatus) -> None:
        """Say that a gateway lives, and what it serves."""
        ...

    async def gateways(self, within_seconds: float) -> Sequence[GatewayStatus]:
        """Those with a heartbeat within these seconds, by id."""
        ...

    def hints(self) -> AsyncIterator[None]:
        """Something may have changed. Some are lost: who listens asks once a second besides."""
        ...

    async def add_feedback(self, feedback: Feedback) -> bool:
        """Record it durably; whether it says something new. A later one on the same request takes its place."""
        ...

    async def feedback(self, tenant: str, request_id: str) -> Feedback | None:
        """What was said of an answer."""
        ...
