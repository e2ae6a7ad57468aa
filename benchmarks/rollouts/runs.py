"""One simulated rollout: its traffic, looked at every second, through the server's tests, decisions and states."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.rollouts.looks import EVERY, Counting, Looks, look
from benchmarks.rollouts.traffic import Flags, Requests, World, draw
from trivet.rollouts.judgement.case import Health
from trivet.rollouts.judgement.decisions import Decision, decide
from trivet.rollouts.sample_ratio import mismatch
from trivet.rollouts.smoke import HIGHEST_SHARE
from trivet.rollouts.spec import DEFAULT_GUARDRAILS, Guardrail, RolloutSpec
from trivet.rollouts.states import Event, Position, State, apply
from trivet.rollouts.statistics import promotion_test, rollback_test
from trivet.rollouts.tallying.guardrails import BINARY
from trivet.types.rollout import Arm

SERVERS = Counting()
_PROOF_SECONDS = 60.0  # before a proof counts


@dataclass(frozen=True)
class Question:
    """What a cell asks. `pooled`: sums run on over the steps, a negative control. `prove`: promotion at the last step.

    `watched`: the guardrails; with `prove`, each one's own proof counts, whatever the others say.
    """

    world: World
    counting: Counting = SERVERS
    pooled: bool = False
    prove: bool = False
    guardrails: tuple[Guardrail, ...] = DEFAULT_GUARDRAILS
    check_ratio: bool = False


@dataclass(frozen=True)
class Answer:
    """What a run came to. Requests and candidate units at the event; None if it did not happen."""

    rolled_back: int | None = None
    units: int | None = None
    promoted: int | None = None
    proven: tuple[str, ...] = ()
    mismatch_units: int | None = None


def spec_of(question: Question) -> RolloutSpec:
    """The rollout that a question is about: its steps last as long as their requests, and no other time matters."""
    world = question.world
    seconds = _PROOF_SECONDS if question.prove else world.requests // len(world.shares) * world.seconds_between
    return RolloutSpec(
        route="simulated", stable="stable", candidate="candidate", stable_digest="a", candidate_digest="b",
        steps=world.shares, guardrails=question.guardrails, minimum_seconds=seconds, smoke_units=1,
        maximum_seconds=10.0**7, silence_seconds=86_400.0, stable_slowdown=100.0,
    )  # fmt: skip


def run(question: Question, seed: tuple[int, ...]) -> Answer:
    """One run. Raises AssertionError if the decision disagrees with the tests that it rests on."""
    spec = spec_of(question)
    steps = draw(question.world, np.random.default_rng(seed)).steps
    if question.pooled:
        return _pooled(question, spec, steps)
    position = apply(apply(Position(), Event.START, spec, 0.0), Event.BEGIN_CANARY, spec, 0.0)
    answer, before = Answer(), 0
    for number, requests in enumerate(steps):
        share = spec.steps[number]
        looks = look(requests, number, share, question.counting, smoke=share <= HIGHEST_SHARE)
        if question.check_ratio:
            answer = replace(answer, mismatch_units=_mismatch(looks, share))
        crossed = _first(_crossed(spec, looks, share))
        if question.prove and number == len(steps) - 1:
            answer = _proofs(question, spec, looks, answer, crossed, position)
        if crossed is not None:
            _agrees(spec, position, looks, crossed, event=Event.ROLLBACK)
            if crossed > 0:
                _agrees(spec, position, looks, crossed - 1, event=None)
            units = int(looks.units[Arm.CANDIDATE][crossed])
            return replace(answer, rolled_back=before + EVERY * (crossed + 1), units=units)
        before += len(requests.unit)
        if number < len(steps) - 1:
            position = apply(position, Event.ADVANCE, spec, float(looks.at[-1]))
    return answer


def _crossed(spec: RolloutSpec, looks: Looks, share: float) -> Flags:
    alpha = spec.guardrail_alpha
    found = np.zeros(len(looks), dtype=np.bool_)
    for guardrail in spec.guardrails:
        kind = guardrail.kind
        if share <= HIGHEST_SHARE:
            found |= looks.wealth[kind] >= -math.log(alpha)
        else:
            stable, candidate = looks.sums[Arm.STABLE][kind], looks.sums[Arm.CANDIDATE][kind]
            found |= rollback_test(stable, candidate, tolerance=guardrail.tolerance, alpha=alpha).crossed
    return found


def _proofs(
    question: Question, spec: RolloutSpec, looks: Looks, answer: Answer, crossed: int | None, position: Position
) -> Answer:
    """Which guardrails are proven at some look before a rollback, and when all are at once, and decided so."""
    all_at_once = np.ones(len(looks), dtype=np.bool_)
    proven = []
    for guardrail in spec.guardrails:
        if not guardrail.required:
            continue
        kind = guardrail.kind
        passed = promotion_test(
            looks.sums[Arm.STABLE][kind], looks.sums[Arm.CANDIDATE][kind],
            margin=guardrail.margin, ratio=guardrail.ratio, binary=kind in BINARY, alpha=spec.promotion_alpha,
        ).crossed  # fmt: skip
        all_at_once &= passed
        if passed[:crossed].any():
            proven.append(kind.value)
    promoted = None
    for number in np.nonzero(all_at_once[:crossed])[0]:
        if _decided(spec, position, looks, int(number)).event is Event.PROMOTE:
            promoted = EVERY * (int(number) + 1)
            break
    return replace(answer, promoted=promoted, proven=tuple(proven))


def _decided(spec: RolloutSpec, position: Position, looks: Looks, number: int) -> Decision:
    return decide(spec, position, looks.statistics(number), Health(), float(looks.at[number]))


def _agrees(spec: RolloutSpec, position: Position, looks: Looks, number: int, *, event: Event | None) -> None:
    decision = _decided(spec, position, looks, number)
    if event is None:
        assert decision.event is not Event.ROLLBACK, decision
        return
    assert decision.event is event, decision
    assert apply(position, event, spec, float(looks.at[number])).state is State.ROLLED_BACK


def _mismatch(looks: Looks, share: float) -> int | None:
    """New units when a mismatch is found, looked at every second."""
    for stable, candidate in zip(looks.new[Arm.STABLE], looks.new[Arm.CANDIDATE], strict=True):
        if mismatch(int(stable), int(candidate), share):
            return int(stable + candidate)
    return None


def _pooled(question: Question, spec: RolloutSpec, steps: list[Requests]) -> Answer:
    """The negative control: one test over all steps, as if the share had never changed."""
    whole = Requests.joined(steps)
    once = replace(spec, steps=(0.5,))
    crossed = _first(_crossed(once, look(whole, 0, 0.5, question.counting, smoke=False), 0.5))
    return Answer(rolled_back=None if crossed is None else EVERY * (crossed + 1))


def _first(flags: Flags) -> int | None:
    return int(flags.argmax()) if flags.any() else None
