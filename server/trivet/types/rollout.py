"""Rollouts as gateways share them: what a route serves by, what the state store keeps, and who may change it.

Times are in seconds since 1970 by the state store's clock, never by a gateway's. `revision` counts the changes of one
route, the same number on every gateway.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

NOT_STARTED = "pending"
PROMOTED = "promoted"
ENDED = frozenset({PROMOTED, "rolled_back", "cancelled"})


class Arm(Enum):
    """The side of a rollout that answers."""

    STABLE = "stable"
    CANDIDATE = "candidate"


@dataclass(frozen=True, slots=True)
class RouteRollout:
    """What routing has to know of a route's rollout.

    `state`: the value of a `trivet.rollouts.states.State`. `stable` and `candidate` are names of variants. `share`: of
    the units that are not held out, the candidate's, from 0 to 1. `holdout`: the share of the units that stay on stable
    until the rollout is promoted. `shadow_share`: of the requests that stable answers, copied to the candidate.
    `spec_digest` tells one spec from another, and is empty until it is known. `local`: this gateway's own doing while
    it cannot read the store, so that its receipts name no revision. Without an `id` it stands in the file alone.
    """

    id: str
    state: str
    step: int
    stable: str
    candidate: str
    share: float
    holdout: float
    salt: str
    shadow_share: float = 0.0
    spec_digest: str = ""
    local: bool = False

    @property
    def ended(self) -> bool:
        """Nothing moves it any more."""
        return self.state in ENDED

    @property
    def held_out(self) -> float:
        """The share of the units that stay on stable now."""
        return self.holdout if self.id and not self.ended else 0.0

    @property
    def arms(self) -> tuple[str, ...]:
        """The variants that answer, or have to be able to at once."""
        if self.state == PROMOTED:
            return (self.candidate,)
        return (self.stable,) if self.state == NOT_STARTED or self.ended else (self.stable, self.candidate)

    @property
    def weights(self) -> dict[str, float]:
        """The shares of all units, by variant."""
        candidate = self.share * (1 - self.held_out)
        return {self.stable: 1 - candidate, self.candidate: candidate}

    def variant_of(self, arm: Arm) -> str:
        """The name of the variant that is an arm."""
        return self.stable if arm is Arm.STABLE else self.candidate

    def arm_of(self, variant: str) -> Arm | None:
        """The side that a variant is; None for neither."""
        return {self.stable: Arm.STABLE, self.candidate: Arm.CANDIDATE}.get(variant)


@dataclass(frozen=True, slots=True)
class RolloutRecord:
    """One rollout as the store has it.

    `spec`: JSON text, never changed; `spec_digest`: SHA-256 of it, 64 hex digits. `state`, `step`, `share`, `since`
    and `judged_since`: its position, as in `trivet.rollouts.states`. `batches`: how many batches of observations came.
    `revision` and what follows it are of the last transition; `fence`: of the lease it was made with, 0 for a person's.
    """

    id: str
    route: str
    spec_digest: str
    spec: str
    salt: str
    state: str
    step: int
    share: float
    since: float
    judged_since: float
    batches: int
    revision: int
    fence: int
    event: str
    reason: str
    message: str
    actor: str
    changed_at: float
    created_at: float


@dataclass(frozen=True, slots=True)
class RolloutChange:
    """What a transition makes of a rollout: its new position, and what the audit log says of it.

    `evidence`: JSON text, enough to repeat the decision; empty for none. `actor`: the name of a key, or `controller`.
    """

    event: str
    state: str
    step: int
    share: float
    since: float
    judged_since: float
    reason: str
    message: str
    actor: str
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Transition:
    """One row of the audit log. `revision` is unique in the route; `from_state` is empty for a rollout's first."""

    rollout: str
    route: str
    revision: int
    fence: int
    at: float
    event: str
    from_state: str
    to_state: str
    from_step: int
    to_step: int
    share: float
    reason: str
    message: str
    actor: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to do something alone until `expires`. `fence` grows with each new owner: an older one is refused."""

    name: str
    owner: str
    fence: int
    expires: float


@dataclass(frozen=True, slots=True)
class ObservationBatch:
    """The first observations of units in one step that a gateway has collected, packed by it.

    `epoch`: drawn at the gateway's start. `seq`: counts the batches of this gateway and epoch, over all rollouts: a
    batch that is sent again keeps its number, and is stored once.
    """

    rollout: str
    step: int
    gateway: str
    epoch: str
    seq: int
    data: bytes


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """A batch as the store has it. `number`: 1, 2, 3, ... in its rollout, in the order of commits, without a hole.

    `at`: when it was committed.
    """

    number: int
    at: float
    batch: ObservationBatch


@dataclass(frozen=True, slots=True)
class GatewayStatus:
    """What a gateway says of itself, by route where it is a mapping.

    `applied`: the revision it serves by. `ready`: empty, or why the candidate is not warm there. `spec_digests`: of
    the rollouts in its file. `snapshots`: by index, the one that is live. `overrides`: why a route is held at its
    stable variant on this gateway alone. `heartbeat`: when the store heard of it; ignored on writing.
    """

    id: str
    epoch: str
    address: str
    applied: Mapping[str, int] = field(default_factory=dict)
    ready: Mapping[str, str] = field(default_factory=dict)
    spec_digests: Mapping[str, str] = field(default_factory=dict)
    snapshots: Mapping[str, str] = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)
    heartbeat: float = 0.0


@dataclass(frozen=True, slots=True)
class Feedback:
    """What somebody said of an answer. `score`: 0 (bad) to 1 (good). `at`: when it came; ignored on writing."""

    tenant: str
    request_id: str
    score: float
    label: str = ""
    corrected_text: str = ""
    comment: str = ""
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class StoredFeedback:
    """Feedback as the store has it. `number` grows with each that comes or changes, in the order of commits."""

    number: int
    feedback: Feedback
