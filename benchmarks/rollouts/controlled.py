"""One simulated rollout through the real controller and a real state store, whose clock the simulation moves.

The traffic is that of `runs.run` with the same seed. Here its requests are observations that a gateway's recorder
sends to the store, and the controller leads, reads them, decides and writes its transitions down, as in production.
Each decision is held against the pure simulation's.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.rollouts.looks import EVERY, Looks, look
from benchmarks.rollouts.runs import Answer, Question, run, spec_of
from benchmarks.rollouts.traffic import Requests, Traffic, draw
from trivet.rollouts.control.controller import Controller
from trivet.rollouts.control.recorder import Recorder
from trivet.rollouts.control.records import move_to, position_of
from trivet.rollouts.control.timing import Timing
from trivet.rollouts.judgement.case import Health
from trivet.rollouts.judgement.decisions import Decision, decide
from trivet.rollouts.judgement.evidence import Evidence
from trivet.rollouts.observation import Observation, Outcome
from trivet.rollouts.ports.operations import Look
from trivet.rollouts.smoke import HIGHEST_SHARE
from trivet.rollouts.spec import GuardrailKind
from trivet.rollouts.spec_json import to_json
from trivet.rollouts.states import TERMINAL, Event, State, apply
from trivet.stores.state import StateStore
from trivet.types.rollout import Arm
from trivet.types.rollout_state import GatewayStatus, RolloutRecord

GATEWAY = "simulated-gateway"
_HEARTBEAT_LOOKS = 5
_BETWEEN_RUNS = 16.0  # seconds, in which the lease of one run's controller ends
_MEMORY = Path("/dev/shm")


class Differs(Exception):
    """The controller decided otherwise than the pure simulation; the message says where."""


@dataclass
class Clock:
    """Seconds, of the store and of the gateway alike."""

    now: float = 1024.0

    @property
    def timing(self) -> Timing:
        """Nothing sleeps: the simulation makes each look itself."""

        async def sleep(_seconds: float) -> None:
            raise AssertionError("the simulation makes each look itself")

        return Timing(lambda: self.now, sleep)


@dataclass(frozen=True)
class Place:
    """A state store in a file, and its clock; run after run uses them."""

    store: StateStore
    clock: Clock


@contextmanager
def place() -> Iterator[Place]:
    """In memory where the machine has a folder for that."""
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
        clock = Clock()
        store = StateStore.open(Path(folder) / "state.sqlite", clock=lambda: clock.now)
        try:
            yield Place(store, clock)
        finally:
            store.close()


@dataclass
class Controlled:
    """A run: `answer` is what it came to, as `runs.run` says it. `compared`: looks held against the pure decision."""

    question: Question
    place: Place
    every: int
    answer: Answer = field(default_factory=Answer)
    compared: int = 0
    halted: str = ""

    def __post_init__(self) -> None:
        self.spec = spec_of(self.question)
        timing = self.place.clock.timing
        self.recorder = Recorder(self.place.store.append, GATEWAY, timing)
        self.controller = Controller(
            self.place.store, f"{GATEWAY}/{self.recorder.epoch}", timing, self._looked,
            lease_seconds=3.0, on_move=self._moved,
        )  # fmt: skip
        self.record: RolloutRecord | None = None
        self._seen: list[tuple[RolloutRecord, Look]] = []

    def _looked(self, record: RolloutRecord, seen: Look) -> None:
        self._seen.append((record, seen))

    def _moved(self, record: RolloutRecord) -> None:
        self.record = record

    async def run(self, seed: tuple[int, ...]) -> Answer:
        """To its end, or to that of the traffic. Raises Differs."""
        traffic = draw(self.question.world, np.random.default_rng(seed))
        await self._start(traffic)
        before = 0
        for number, requests in enumerate(traffic.steps):
            if await self._step(number, requests, before):
                break
            before += len(requests.unit)
            if number < len(traffic.steps) - 1 and not await self._on(number):
                break
        await self._end()
        return self.answer

    async def _start(self, traffic: Traffic) -> None:
        """Stable's requests before the first step give the first limits."""
        store, clock = self.place.store, self.place.clock
        made = await store.create(
            self.spec.route, self.spec.digest(), to_json(self.spec), actor="operator", reason="simulated", restart=True
        )
        await self._by_hand(made, Event.START)
        for number, (ttft, cost) in enumerate(zip(traffic.ttft_ms_before, traffic.cost_before, strict=True)):
            observation = Observation(
                f"before-{number}", Arm.STABLE, -1, clock.now, Outcome.ANSWERED, unit=f"before-{number}",
                ttft_ms=float(ttft), cost_nano_usd=int(cost), format_valid=True,
            )  # fmt: skip
            self.recorder.observe(made.id, observation)
        await self.recorder.flush()
        await self._heartbeat()
        await self.controller.look()
        await self._heartbeat()
        assert self.record is not None
        assert self.record.state == State.CANARY.value, self.record.message

    async def _step(self, number: int, requests: Requests, before: int) -> bool:
        """One step's requests, looked at every second; whether the rollout ended."""
        share = self.spec.steps[number]
        pure = look(requests, number, share, self.question.counting, smoke=share <= HIGHEST_SHARE)
        began = self.place.clock.now
        for second in range(len(pure)):
            self._observe(requests, number, second * EVERY, began)
            self.place.clock.now = began + EVERY * (second + 1) * self.question.world.seconds_between
            await self.recorder.flush()
            if second % _HEARTBEAT_LOOKS == 0:
                await self._heartbeat()
            self._seen.clear()
            await self.controller.look()
            ((record, seen),) = self._seen
            event = seen.decision.event
            if event is not None or second % self.every == 0 or second == len(pure) - 1:
                self._compare(record, seen, pure, second)
            if event is not None:
                await self._heartbeat()
            if self._ends(event, seen.decision, pure, second, before):
                return True
        return False

    def _observe(self, requests: Requests, step: int, first: int, began: float) -> None:
        assert self.record is not None
        start = requests.at[0] - self.question.world.seconds_between
        numbers = requests.numbers
        for at in range(first, first + EVERY):
            arm = Arm.CANDIDATE if requests.candidate[at] else Arm.STABLE
            unit, name = f"unit-{requests.unit[at]}", f"{step}-{at}"
            failed = numbers[GuardrailKind.ERROR][at] == 1
            observation = Observation(
                name, arm, step, began + float(requests.at[at] - start),
                Outcome.FAILED if failed else Outcome.ANSWERED, unit=unit, text=name,
                ttft_ms=float(requests.ttft_ms[at]), cost_nano_usd=int(requests.cost[at]),
                format_valid=None if failed else not numbers[GuardrailKind.FORMAT][at],
                degraded=bool(numbers[GuardrailKind.DEGRADED][at]), cold=not requests.counts[at],
            )  # fmt: skip
            self.recorder.observe(self.record.id, observation)
            worse = numbers[GuardrailKind.FEEDBACK][at]
            if not math.isnan(worse):
                self.recorder.rate(self.record.id, step, unit, name, 1 - float(worse))

    def _compare(self, record: RolloutRecord, seen: Look, pure: Looks, second: int) -> None:
        """The decision, and every number that it rests on."""
        position = position_of(record)
        expected = decide(self.spec, position, pure.statistics(second), Health(), seen.at)
        where = f"step {position.step}, look {second}"
        found = seen.decision
        if (found.event, found.reason) != (expected.event, expected.reason):
            raise Differs(f"{where}: {found.message}, expected {expected.message}")
        if found.evidence is not None and expected.evidence is not None:
            _same(found.evidence, expected.evidence, where)
        self.compared += 1

    def _ends(self, event: Event | None, decision: Decision, pure: Looks, second: int, before: int) -> bool:
        done = before + EVERY * (second + 1)
        if event is Event.ROLLBACK:
            self.answer = Answer(rolled_back=done, units=int(pure.units[Arm.CANDIDATE][second]))
        elif event is Event.PROMOTE and self.question.prove:
            self.answer = Answer(promoted=done)
        elif event is Event.HALT:
            self.halted = decision.message
        return event in (Event.ROLLBACK, Event.PROMOTE)

    async def _on(self, number: int) -> bool:
        """To the next step: the controller's decision, or an operator's where its data are too few. False if halted."""
        assert self.record is not None
        if self.record.step == number and self.record.state == State.CANARY.value:
            await self._by_hand(self.record, Event.ADVANCE)
            await self._heartbeat()
        return self.record.step == number + 1

    async def _end(self) -> None:
        assert self.record is not None
        if State(self.record.state) not in TERMINAL:
            await self._by_hand(self.record, Event.CANCEL)
        self.place.clock.now += _BETWEEN_RUNS
        await self.place.store.prune(0.0)

    async def _by_hand(self, record: RolloutRecord, event: Event) -> None:
        after = apply(position_of(record), event, self.spec, self.place.clock.now)
        wanted = move_to(after, event.value, "by_hand", "simulated", "operator")
        self.record = await self.place.store.move(record.id, record.revision, wanted)

    async def _heartbeat(self) -> None:
        assert self.record is not None
        route, digest = self.spec.route, self.spec.digest()
        status = GatewayStatus(
            GATEWAY, self.recorder.epoch, "",
            applied={route: self.record.revision}, ready={route: ""}, spec_digests={route: digest},
        )  # fmt: skip
        await self.place.store.heartbeat(status)


async def held(question: Question, where: Place, seed: tuple[int, ...], every: int = 20) -> Controlled:
    """A run, and the pure one of the same seed: both have to come to the same. Raises Differs.

    A run that halted is compared until then: the pure one knows no halts.
    """
    controlled, pure = Controlled(question, where, every), run(question, seed)
    found = await controlled.run(seed)
    if not controlled.halted:
        expected = (None, None, pure.promoted) if pure.promoted is not None else (pure.rolled_back, pure.units, None)
        if (found.rolled_back, found.units, found.promoted) != expected:
            raise Differs(f"seed {seed}: {found}, expected {pure}")
    return controlled


def _same(found: Evidence, expected: Evidence, where: str) -> None:
    """Raises Differs unless the sums agree to 1e-9, and what is computed from them to 1e-6."""
    counts = ((found.units, expected.units), (found.new_units, expected.new_units), (found.counted, expected.counted))
    for one, two in counts:
        if one != two:
            raise Differs(f"{where}: {one}, expected {two}")
    for mine, other in zip(found.tests, expected.tests, strict=True):
        sums = np.allclose((*mine.stable, *mine.candidate), (*other.stable, *other.candidate), rtol=1e-9, atol=1e-9)
        z = np.allclose(_known(mine.z), _known(other.z), rtol=1e-6, atol=1e-6)
        if not sums or not z or mine.crossed != other.crossed:
            raise Differs(f"{where}: {mine}, expected {other}")


def _known(z: float | None) -> float:
    """The smoke rule's wealth is at most 1 before its first unit, whichever way it is told."""
    return 0.0 if z is None else z
