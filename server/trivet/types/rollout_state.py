"""What gateways share of rollouts, as the state store has it. Times are seconds of the store's clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RolloutRecord:
    """A rollout as the store has it. `spec` is JSON; `event`, `reason`, `message`, `actor`: the last transition's.

    `revision`: of its route, at the last transition. `batches`: how many batches of observations it has.
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
class Move:
    """A transition to be made: where the rollout will be, and who wants it why. `evidence` is JSON.

    `since` and `judged_since` None mean the time of the commit, by the store's clock.
    """

    event: str
    state: str
    step: int
    share: float
    reason: str
    message: str
    actor: str
    evidence: str = "{}"
    since: float | None = None
    judged_since: float | None = None


@dataclass(frozen=True, slots=True)
class Transition:
    """One entry of the audit log; its evidence (JSON) is enough to repeat the decision. `fence` 0: by an operator."""

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
    """The right to decide, held by one owner until it expires. Each new owner has a higher fence."""

    name: str
    owner: str
    fence: int
    expires: float


@dataclass(frozen=True, slots=True)
class ObservationBatch:
    """What a gateway has seen of a rollout's step since its last batch.

    `epoch` is random per process, `seq` counts its batches: the same one sent again is stored once.
    """

    rollout: str
    step: int
    gateway: str
    epoch: str
    seq: int
    data: bytes


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """A batch in the store. `number` counts a rollout's batches without a gap, in the order of their commits."""

    number: int
    at: float
    batch: ObservationBatch


@dataclass(frozen=True, slots=True)
class GatewayStatus:
    """What a gateway says of itself with each heartbeat. `heartbeat` is the store's, on reading.

    `applied`: the revision that it serves, by route. `ready`: by route "" if the candidate is warm, else why not.
    `spec_digests`: of the rollouts in its configuration, by route. `snapshots`: by route, the live ones of the indexes
    that its arms use.
    `overrides`: routes that an operator rolled back while the store was away, with the reason.
    """

    id: str
    epoch: str
    address: str
    heartbeat: float = 0.0
    applied: Mapping[str, int] = field(default_factory=dict)
    ready: Mapping[str, str] = field(default_factory=dict)
    spec_digests: Mapping[str, str] = field(default_factory=dict)
    snapshots: Mapping[str, str] = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Feedback:
    """What somebody said of an answer. `score` in [0, 1], 1 is best; None where only words were given."""

    tenant: str
    request_id: str
    score: float | None = None
    label: str = ""
    corrected_text: str = ""
    comment: str = ""
    at: float = 0.0
