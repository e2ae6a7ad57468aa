"""What a receipt says of a rollout's arm: a pure function, so that every decision can be repeated from receipts."""

from __future__ import annotations

from trivet.rollouts.observation import Observation, Outcome
from trivet.types.receipt import Receipt, UnitSource
from trivet.types.rollout import RouteRollout

_OUTCOMES = {
    "OK": Outcome.ANSWERED,
    "DEADLINE_EXCEEDED": Outcome.TIMED_OUT,
    "CANCELLED": Outcome.CANCELLED,
    "RESOURCE_EXHAUSTED": Outcome.REFUSED,
    "UNAUTHENTICATED": Outcome.REFUSED,
    "PERMISSION_DENIED": Outcome.REFUSED,
    "INVALID_ARGUMENT": Outcome.CLIENT_FAULT,
    "UNIMPLEMENTED": Outcome.CLIENT_FAULT,
    "ABORTED": Outcome.CLIENT_FAULT,  # it did not read its stream
}
_BY_THE_REQUEST = frozenset({"query_cut", "max_tokens_cut", "low_confidence"})
"""Degraded for what was asked, or with nothing missing: neither is the variant's doing."""


def observation_of(receipt: Receipt, rollout: RouteRollout, at: float) -> Observation | None:
    """The observation that a receipt is; None if it is of another rollout, or no arm of this one ran.

    A request that was refused, or ran into its deadline, before it had a variant counts for neither arm. `at`: when it
    ended, in seconds of the clock that observations share. A copy that was compared and not answered has failed,
    whatever its code, for its original was answered.
    """
    arm = rollout.arm_of(receipt.variant)
    if arm is None or receipt.rollout != rollout.id or not rollout.id or receipt.rollout_step is None:
        return None
    pair, outcome = receipt.shadow_pair, _OUTCOMES.get(receipt.code, Outcome.FAILED)
    return Observation(
        request_id=receipt.request_id,
        arm=arm,
        step=receipt.rollout_step,
        at=at,
        outcome=Outcome.FAILED if pair is not None and outcome is not Outcome.ANSWERED else outcome,
        unit=unit_of(receipt),
        text=receipt.text_hash,
        ttft_ms=receipt.ttft_ms,
        total_ms=receipt.total_ms,
        cost_nano_usd=receipt.cost.total,
        format_valid=receipt.format_valid,
        degraded=_degraded(receipt.degraded),
        agreement=None if pair is None else pair.agreement,
        real_format_valid=None if pair is None else pair.format_valid,
        real_degraded=pair is not None and _degraded(pair.degraded),
        cold=receipt.cold,
        forced=receipt.unit_source is UnitSource.FORCED,
        holdout=receipt.unit_source is UnitSource.HOLDOUT,
        shadow=receipt.shadow,
    )


def _degraded(reasons: tuple[str, ...]) -> bool:
    return bool(set(reasons) - _BY_THE_REQUEST)


def unit_of(receipt: Receipt) -> str | None:
    """The hash of the unit that the request named; None if it named none."""
    named = receipt.unit_source is not UnitSource.RANDOM and receipt.unit_hash
    return receipt.unit_hash if named else None
