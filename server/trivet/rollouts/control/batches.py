"""What a gateway tells the leader of a step, packed: observations, counts of what was left out, and what was lost."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from trivet.rollouts.observation import Exclusion, Observation, Outcome
from trivet.types.rollout import Arm
from trivet.types.rollout_state import StoredBatch

MOST_UNPACKED = 16 << 20  # bytes; a batch that says to be larger is refused

_FIELDS = (
    "request_id", "unit", "text", "ttft_ms", "total_ms", "cost_nano_usd", "format_valid", "degraded", "agreement",
    "shadow", "real_format_valid", "real_degraded",
)  # fmt: skip
_OLDEST = 10  # fields; the rest are absent in batches of earlier versions


@dataclass(frozen=True, slots=True)
class StepReport:
    """What a gateway saw of a step. `at` of an observation and `last` are in seconds of one clock, whichever it is.

    `excluded`: requests that are not sent one by one, by reason. `last`: when a request that counts was seen last, by
    arm. `lost`: observations that were dropped because the store had been away for too long. `feedback`: on requests of
    the step that were reported before or here: unit, request id, and the score in [0, 1], None if it was taken back.
    `arrived`: units and their arms whose request counts for nothing but that they are there, for it was cold.
    """

    observations: Sequence[Observation] = ()
    excluded: Mapping[Exclusion, int] = field(default_factory=dict)
    last: Mapping[Arm, float] = field(default_factory=dict)
    lost: int = 0
    feedback: Sequence[tuple[str, str, float | None]] = ()
    arrived: Sequence[tuple[str, Arm]] = ()


def pack(report: StepReport, now: float) -> bytes:
    """The report with ages in place of times; `now` is of the clock that its times are of."""
    told = {
        "observations": [_row(observation, now) for observation in report.observations],
        "excluded": {reason.value: count for reason, count in report.excluded.items()},
        "last": {arm.value: round(now - at, 3) for arm, at in report.last.items()},
        "lost": report.lost,
        "feedback": report.feedback,
        "arrived": [(unit, arm.value) for unit, arm in report.arrived],
    }
    return zlib.compress(json.dumps(told, separators=(",", ":")).encode())


def unpack(stored: StoredBatch) -> StepReport:
    """The report, its times by the store's clock. Raises ValueError for what was not packed by `pack`."""
    try:
        inflating = zlib.decompressobj()
        told = json.loads(inflating.decompress(stored.batch.data, MOST_UNPACKED))
        return StepReport(
            [_observation(row, stored) for row in told["observations"]],
            Counter({Exclusion(reason): int(count) for reason, count in told["excluded"].items()}),
            {Arm(arm): stored.at - age for arm, age in told["last"].items()},
            int(told["lost"]),
            [_rating(*row) for row in told.get("feedback", ())],  # absent in batches of earlier versions
            [(str(unit), Arm(arm)) for unit, arm in told.get("arrived", ())],  # likewise
        )
    except (zlib.error, KeyError, TypeError, IndexError, ValueError) as error:
        where = f"{stored.batch.gateway}, batch {stored.number} of rollout {stored.batch.rollout}"
        raise ValueError(f"no report of observations: {where}: {error}") from error


def _row(observation: Observation, now: float) -> list[Any]:
    head = [observation.arm.value, observation.outcome.value, round(now - observation.at, 3)]
    return [*head, *(getattr(observation, name) for name in _FIELDS)]


def _observation(row: list[Any], stored: StoredBatch) -> Observation:
    arm, outcome, age, *rest = row
    if not _OLDEST <= len(rest) <= len(_FIELDS):
        raise ValueError(f"{len(rest)} fields of an observation, expected {_OLDEST} to {len(_FIELDS)}")
    known = dict(zip(_FIELDS, rest, strict=False))
    found = Observation(
        request_id=known.pop("request_id"), arm=Arm(arm), step=stored.batch.step, at=stored.at - age,
        outcome=Outcome(outcome),
    )  # fmt: skip
    return replace(found, **known)


def _rating(unit: str, request_id: str, score: float | None) -> tuple[str, str, float | None]:
    if score is not None and not 0 <= score <= 1:
        raise ValueError(f"a score of {score}, expected 0 to 1")
    return unit, request_id, score
