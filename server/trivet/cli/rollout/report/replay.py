"""Judging a rollout again from its observations, with the rules that the controller uses, look by look."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from trivet.api.v1 import rollout_pb2
from trivet.cli.console.output import enum_name
from trivet.cli.rollout.report.history import Entry, History, Reading, read_entry, seconds_of
from trivet.client.rollouts import Rollouts
from trivet.rollouts.control.replay import Replay
from trivet.rollouts.judgement.evidence import GuardrailEvidence
from trivet.rollouts.judgement.judging import promotion_tests, rollback_tests
from trivet.rollouts.spec import Approval, Guardrail, GuardrailKind, RolloutSpec
from trivet.rollouts.states import Position, State
from trivet.types.rollout_state import ObservationBatch, StoredBatch

LOOKS = 100  # of a step, about: as many as a plot can show
_NOT_JUDGED = frozenset({State.PENDING, State.WARMING, State.PROMOTED, State.ROLLED_BACK, State.CANCELLED})


def read_history(rollouts: Rollouts, found: rollout_pb2.Rollout) -> History:
    """All that a server keeps of one rollout."""
    entries = [read_entry(one) for one in rollouts.transitions(found.route) if one.rollout == found.id]
    audited = History(found, entries, ())
    batches = (batch_of(found.id, message) for message in rollouts.observations(found.id))
    return replace(audited, looks=list(looks(spec_of(found.route, found.spec), entries, batches, audited.end)))


@dataclass(frozen=True, slots=True)
class _Stay:
    """Where the rollout was, until somebody moved it on.

    `batches`: how many the controller had read when it decided to; None where a person moved it.
    """

    position: Position
    until: float
    batches: int | None

    def has(self, batch: StoredBatch) -> bool:
        """Whether it came before the rollout was moved on."""
        return batch.at <= self.until if self.batches is None else batch.number <= self.batches


def looks(spec: RolloutSpec, entries: Sequence[Entry], batches: Iterable[StoredBatch], end: float) -> Iterator[Reading]:
    """Each test at about `LOOKS` moments of each stay in a state, the last one when the controller decided.

    Nothing where the first batches are gone: what came after them would not be what the controller saw.
    """
    replay, waiting = Replay(spec), iter(batches)
    batch = next(waiting, None)
    if batch is None or batch.number != 1:
        return
    for stay in _stays(entries, end):
        replay.begin(stay.position.step, stay.position.judged_since)
        judged = stay.position.state not in _NOT_JUDGED
        stride = (stay.until - stay.position.since) / LOOKS
        due = stay.position.since + stride
        while batch is not None and stay.has(batch):
            if judged and batch.at > due:
                yield from _look(spec, replay, stay.position, due)
                due = batch.at + stride
            replay.take(batch)
            batch = next(waiting, None)
        if judged:
            yield from _look(spec, replay, stay.position, stay.until)


def _stays(entries: Sequence[Entry], end: float) -> Iterator[_Stay]:
    judged_since = 0.0
    for entry, following in zip(entries, [*entries[1:], None], strict=False):
        moved = entry.transition
        if moved.to_step != moved.from_step or moved.event in ("promote", "restart_step"):
            judged_since = entry.at
        state = State(enum_name(moved.DESCRIPTOR.fields_by_name["to_state"], moved.to_state))
        position = Position(state, moved.to_step, moved.share, entry.at, judged_since)
        told = {} if following is None else following.told
        yield _Stay(position, end if following is None else told.get("now", following.at), told.get("batches"))


def _look(spec: RolloutSpec, replay: Replay, position: Position, now: float) -> Iterator[Reading]:
    statistics = replay.statistics(position, now)
    if statistics.step != position.step:
        return
    tests = list(rollback_tests(spec, statistics))
    if position.step == len(spec.steps) - 1:
        tests += promotion_tests(spec, statistics)
    for test in tests:
        yield _reading(test, position.step, now)


def _reading(test: GuardrailEvidence, step: int, at: float) -> Reading:
    low, high = test.interval or (None, None)
    return Reading(
        at=at,
        step=step,
        guardrail=test.kind.value,
        test=test.test.value,
        estimate=_finite(test.estimate),
        low=_finite(low),
        high=_finite(high),
        z=_finite(test.z),
        boundary=_finite(test.boundary),
        crossed=test.crossed,
        stable=test.stable,
        candidate=test.candidate,
        audited=False,
    )


def _finite(number: float | None) -> float | None:
    """As the audit log has it: a number that is not finite is none."""
    return number if number is not None and math.isfinite(number) else None


def batch_of(rollout: str, message: rollout_pb2.ReadRolloutObservationsResponse) -> StoredBatch:
    """A batch as the store has it, without what only the store needs."""
    batch = ObservationBatch(
        rollout=rollout, step=message.step, gateway=message.gateway, epoch="", seq=0, data=message.data
    )
    return StoredBatch(number=message.number, at=seconds_of(message.at), batch=batch)


def spec_of(route: str, message: rollout_pb2.RolloutSpec) -> RolloutSpec:
    """What the rollout was asked to do."""
    guardrails = tuple(
        Guardrail(
            GuardrailKind(one.guardrail),
            tolerance=one.tolerance,
            margin=one.margin,
            ratio=one.ratio,
            slower=one.slower,
            required=one.required,
        )
        for one in message.guardrails
    )
    spec = RolloutSpec(route, message.stable, message.candidate, message.stable_digest, message.candidate_digest)
    same = {
        field.name: getattr(message, field.name)
        for field in message.DESCRIPTOR.fields
        if field.name not in ("steps", "guardrails", "approval")
    }
    return replace(spec, steps=tuple(message.steps), guardrails=guardrails, approval=Approval(message.approval), **same)
