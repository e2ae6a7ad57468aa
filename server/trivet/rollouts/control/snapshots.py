"""Which snapshots a step is judged on, and whether one was switched meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from trivet.rollouts.states import Event, Position
from trivet.types.rollout_state import GatewayStatus, RolloutRecord, Transition

_BEGINNINGS = {
    event.value for event in (Event.BEGIN_SHADOW, Event.BEGIN_CANARY, Event.ADVANCE, Event.PROMOTE, Event.RESTART_STEP)
}


def snapshots_of(record: RolloutRecord, gateways: Iterable[GatewayStatus]) -> dict[str, str]:
    """The live snapshots of the indexes that the arms use, by gateway; without those that use none."""
    return {gateway.id: text for gateway in gateways if (text := gateway.snapshots.get(record.route, ""))}


class StepSnapshots:
    """The snapshots of a rollout's step when its statistics began.

    Another leader has them from the audit log. After a change by hand they are those that it finds.
    """

    def __init__(self, log: Sequence[Transition]) -> None:
        """`log`: the rollout's entries, the oldest first."""
        self._began: tuple[int, float] | None = None
        self._known: dict[str, str] = {}
        begun = [entry for entry in log if entry.event in _BEGINNINGS]
        self._told = json.loads(begun[-1].evidence).get("snapshots", {}) if begun else {}

    def switched(self, position: Position, now: Mapping[str, str]) -> tuple[str, ...]:
        """Where another snapshot is live than when the step began, in words."""
        began = (position.step, position.judged_since)
        if began != self._began:
            self._known = dict(self._told) if self._began is None else {}
            self._began = began
        for gateway, text in now.items():
            self._known.setdefault(gateway, text)
        return tuple(
            f"{gateway} has {text} in place of {self._known[gateway]}"
            for gateway, text in sorted(now.items())
            if text != self._known[gateway]
        )
