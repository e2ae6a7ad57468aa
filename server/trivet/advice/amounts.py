"""What a month costs with the current arm and with the advised one, and when a training is paid."""

from __future__ import annotations

from math import ceil

from trivet.advice.economy import pays_after
from trivet.advice.evidence import Amount, ArmEvidence, Evidence
from trivet.advice.result import Action, Month

NANO = 1e9
GROWTH = (1, 10)  # today's volume, and ten times of it


def months(
    evidence: Evidence, current: ArmEvidence, advised: ArmEvidence | None, *, distilled: bool
) -> tuple[Month, ...]:
    """None where the volume is not known. A `distilled` arm that is not there yet is taken for the current one without
    its static prefix."""
    requests = evidence.traffic.requests_per_month
    if not requests:
        return ()
    each = None if advised is None else advised.cost
    if distilled and current.cost is not None and evidence.traffic.prefix_cost is not None:
        each = _less(current.cost, evidence.traffic.prefix_cost)
    return tuple(
        Month(requests * factor, _of(current.cost, requests * factor), _of(each, requests * factor))
        for factor in GROWTH
    )


def training_pays_after(
    evidence: Evidence, current: ArmEvidence, advised: ArmEvidence | None, action: Action
) -> int | None:
    """By measured costs where the arm is there, else by the prefix that is spared; None: not known, never, or no
    training."""
    if action not in {Action.TRAIN, Action.COMBINE, Action.DISTIL}:
        return None
    if advised is None:
        return pays_after(evidence) if action is Action.DISTIL else None
    if advised.cost is None or current.cost is None:
        return None
    saved = current.cost.value - advised.cost.value
    return ceil(evidence.training_usd * NANO / saved) if saved > 0 else None


def _of(each: Amount | None, requests: float) -> Amount | None:
    if each is None:
        return None
    scale = requests / NANO
    return Amount(each.value * scale, each.low * scale, each.high * scale)


def _less(cost: Amount, spared: float) -> Amount:
    return Amount(*(max(0.0, part - spared) for part in (cost.value, cost.low, cost.high)))
