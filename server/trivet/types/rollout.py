"""Rollouts as routing knows them; what the state store keeps of them is in `trivet.types.rollout_state`."""

from __future__ import annotations

from dataclasses import dataclass
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
    until the rollout is promoted. `shadow_share`: of the units, those whose requests are copied to the candidate, in
    state shadow alone; `shadow_running` copies at once at most, and none while the gateway runs more than `shadow_load`
    of the requests that it may run at once, copies included.
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
    shadow_running: int = 0
    shadow_load: float = 0.0
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
