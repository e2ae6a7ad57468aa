"""What a report is made from: a rollout, its audit log, and what its observations said look by look."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from trivet.api.v1 import rollout_pb2


@dataclass(frozen=True, slots=True)
class Reading:
    """A guardrail's test at one moment. `at`: seconds of the store's clock; the numbers are the test's own, unscaled.

    `audited`: from the audit log; else judged again from the observations.
    """

    at: float
    step: int
    guardrail: str
    test: str
    estimate: float | None
    low: float | None
    high: float | None
    z: float | None
    boundary: float | None
    crossed: bool
    stable: Sequence[float]
    candidate: Sequence[float]
    audited: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the audit log with its evidence read. `tests`: what the decision rested on."""

    transition: rollout_pb2.RolloutTransition
    told: Mapping[str, Any]
    tests: Sequence[Reading]

    @property
    def evidence(self) -> Mapping[str, Any]:
        """The step's counts; empty where nothing was judged."""
        return self.told.get("evidence") or {}

    @property
    def at(self) -> float:
        """Seconds of the store's clock."""
        return seconds_of(self.transition.at)


@dataclass(frozen=True, slots=True)
class History:
    """`looks`: judged again from the observations, in the order of time; empty where the store keeps none any more."""

    rollout: rollout_pb2.Rollout
    entries: Sequence[Entry]
    looks: Sequence[Reading]

    @property
    def begun(self) -> float:
        """When the rollout was made, in seconds of the store's clock."""
        return seconds_of(self.rollout.created_at)

    @property
    def end(self) -> float:
        """The last moment that anything is known of."""
        moments = [self.begun, *(entry.at for entry in self.entries), *(look.at for look in self.looks)]
        if self.rollout.HasField("look"):
            moments.append(seconds_of(self.rollout.look.at))
        return max(moments)

    def tests(self, guardrail: str, test: str) -> list[Reading]:
        """All that is known of one test, in the order of time: looks, and what the audit log has."""
        audited = [one for entry in self.entries for one in entry.tests]
        mine = [one for one in (*self.looks, *audited) if (one.guardrail, one.test) == (guardrail, test)]
        return sorted(mine, key=lambda one: (one.at, one.audited))


def read_entry(transition: rollout_pb2.RolloutTransition) -> Entry:
    """An entry with its evidence; a change by hand has none."""
    told = json.loads(transition.evidence or "{}")
    evidence = told.get("evidence") or {}
    return Entry(
        transition, told, [_audited(test, told["now"], evidence["step"]) for test in evidence.get("tests", ())]
    )


def _audited(test: Mapping[str, Any], at: float, step: int) -> Reading:
    low, high = test["interval"] or (None, None)
    return Reading(
        at=at,
        step=step,
        guardrail=test["kind"],
        test=test["test"],
        estimate=test["estimate"],
        low=low,
        high=high,
        z=test["z"],
        boundary=test["boundary"],
        crossed=test["crossed"],
        stable=test["stable"],
        candidate=test["candidate"],
        audited=True,
    )


def seconds_of(at: Timestamp) -> float:
    """A time as seconds since 1970."""
    return at.seconds + at.nanos / 1e9
