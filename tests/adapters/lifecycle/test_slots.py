"""Leases of adapter slots: order, bounds, and nothing lost whatever is cancelled when."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.virtual_time import run_virtually
from trivet.adapters.lifecycle.slots import AdapterSlots

QUANTUM = 10.0


def virtually(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test on the clock that jumps."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        run_virtually(test(*args, **kwargs))

    return run


@dataclass
class Hall:
    """Slots with requests in them: who entered in which order, and who is in."""

    slots: AdapterSlots
    entered: list[str] = field(default_factory=list)
    inside: Counter[str] = field(default_factory=Counter)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def stream(self, name: str, seconds: float) -> None:
        """A request of the adapter that the name begins with, for so long."""
        adapter = name[0]
        async with self.slots.enter(None if adapter == "-" else adapter):
            self.entered.append(name)
            self.inside[adapter] += 1
            try:
                await asyncio.sleep(seconds)
            finally:
                self.inside[adapter] -= 1

    async def start(self, name: str, seconds: float) -> asyncio.Task[None]:
        """Begin one, and let it come as far as it comes."""
        task = asyncio.create_task(self.stream(name, seconds))
        self.tasks.append(task)
        await settled()
        return task

    async def empty(self) -> None:
        """Wait for all of them, and look that nothing is left."""
        await asyncio.gather(*self.tasks, return_exceptions=True)
        assert (self.slots.leased, self.slots.waiting) == (0, 0)
        assert not +self.inside


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def hall(slots: int = 1, quantum: float = QUANTUM, **changes: Any) -> Hall:
    return Hall(AdapterSlots(slots=slots, quantum=quantum, **changes))


@virtually
async def test_within_its_quantum_a_holder_admits_more_and_after_it_nothing_while_others_wait() -> None:
    held = hall()
    await held.start("a1", 15)
    await held.start("b1", 5)
    await asyncio.sleep(9)
    await held.start("a2", 5)
    assert held.entered == ["a1", "a2"]
    await asyncio.sleep(1)
    await held.start("a3", 5)
    assert held.entered == ["a1", "a2"]
    await held.empty()
    assert held.entered == ["a1", "a2", "b1", "a3"]


@virtually
async def test_past_its_quantum_a_holder_admits_more_while_nobody_waits() -> None:
    held = hall()
    await held.start("a1", 30)
    await asyncio.sleep(20)
    await held.start("a2", 1)
    assert held.entered == ["a1", "a2"]
    await held.empty()


@virtually
async def test_a_slot_goes_to_the_adapter_that_waited_longest_with_all_its_requests() -> None:
    held = hall()
    await held.start("a1", 12)
    for name in ("c1", "b1", "c2"):
        await held.start(name, 1)
    await asyncio.sleep(12.5)
    assert held.entered == ["a1", "c1", "c2"]
    await held.empty()
    assert held.entered == ["a1", "c1", "c2", "b1"]


@virtually
async def test_a_lease_without_requests_ends_at_once_whatever_is_left_of_its_quantum() -> None:
    held = hall()
    await held.start("a1", 1)
    await held.start("b1", 1)
    await asyncio.sleep(1)
    await settled()
    assert held.inside["b"] == 1
    await held.empty()


@virtually
async def test_the_base_model_never_waits() -> None:
    held = hall()
    await held.start("a1", 20)
    await held.start("b1", 1)
    await held.start("-1", 1)
    assert held.entered == ["a1", "-1"]
    assert held.slots.leased == 1
    await held.empty()


@virtually
async def test_with_a_quantum_of_0_there_are_no_leases() -> None:
    held = hall(quantum=0.0)
    for name in ("a1", "b1", "c1"):
        await held.start(name, 1)
    assert held.entered == ["a1", "b1", "c1"]
    assert (held.slots.leased, held.slots.waiting) == (0, 0)
    await held.empty()


@virtually
async def test_a_holder_whose_turn_comes_takes_no_second_slot() -> None:
    """It waited behind an adapter that then took the other slot: it goes on, with a new quantum."""
    held = hall(slots=2)
    await held.start("a1", 30)
    await held.start("b1", 12)
    await asyncio.sleep(11)
    for name in ("c1", "a2", "d1"):
        await held.start(name, 30)
    assert held.entered == ["a1", "b1"]
    await asyncio.sleep(1.5)
    assert held.entered == ["a1", "b1", "c1", "a2"]
    await held.start("a3", 1)
    assert held.entered[-1] == "a3"  # within the new quantum, although another one waits
    await held.empty()
    assert held.entered[-1] == "d1"


@virtually
async def test_a_holder_goes_on_when_the_one_it_waits_behind_gives_up() -> None:
    held = hall()
    await held.start("a1", 30)
    waiting = await held.start("b1", 1)
    await asyncio.sleep(11)
    await held.start("a2", 1)
    assert held.entered == ["a1"]
    waiting.cancel()
    await settled()
    assert held.entered == ["a1", "a2"]
    await held.empty()


@virtually
async def test_one_of_several_that_wait_may_give_up_and_the_others_keep_their_turn() -> None:
    held = hall()
    await held.start("a1", 5)
    waiting = await held.start("b1", 1)
    await held.start("c1", 1)
    await held.start("b2", 1)
    waiting.cancel()
    await held.empty()
    assert held.entered == ["a1", "b2", "c1"]


@virtually
async def test_cancelled_in_the_moment_of_its_turn_it_passes_the_slot_on() -> None:
    held = hall()
    first = await held.start("a1", 5)
    second = await held.start("b1", 5)
    await held.start("c1", 5)
    first.cancel()
    await asyncio.sleep(0)  # the first one leaves: the second one's turn has come, but it has not run yet
    second.cancel()
    await settled()
    assert held.entered == ["a1", "c1"]
    await held.empty()


@virtually
async def test_all_that_wait_of_an_adapter_are_cancelled_together_with_the_holder() -> None:
    """The turn comes while they are cancelled and not yet gone: it must not go to nobody."""
    held = hall()
    first = await held.start("a1", 5)
    gone = [await held.start(name, 5) for name in ("b1", "b2")]
    await held.start("c1", 5)
    for task in (first, *gone):
        task.cancel()
    await settled()
    assert held.entered == ["a1", "c1"]
    await held.empty()


@virtually
async def test_a_cancelled_one_that_is_not_yet_gone_does_not_take_its_successor_along() -> None:
    """A new request of the adapter enters the line between the cancellation and its consequence."""
    held = hall()
    await held.start("a1", 5)
    gone = await held.start("b1", 5)
    gone.cancel()
    held.tasks.append(asyncio.create_task(held.stream("b2", 5)))
    await settled()
    assert held.slots.waiting == 1
    await held.empty()
    assert held.entered == ["a1", "b2"]


@virtually
async def test_a_deadline_bounds_the_wait() -> None:
    held = hall()
    await held.start("a1", 50)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3):
            await held.stream("b1", 1)
    assert asyncio.get_running_loop().time() == pytest.approx(3)
    assert held.slots.waiting == 0
    await held.empty()


@virtually
async def test_every_wait_is_told_also_of_those_that_gave_up() -> None:
    waits: list[float] = []
    held = hall(on_wait=waits.append)
    await held.start("a1", 4)
    await held.start("-1", 4)
    gone = await held.start("b1", 1)
    await held.start("c1", 1)
    await asyncio.sleep(1)
    gone.cancel()
    await held.empty()
    assert waits == [0.0, pytest.approx(1), pytest.approx(4)]


@virtually
async def test_two_versions_of_an_adapter_are_two_adapters() -> None:
    slots = AdapterSlots(slots=1, quantum=QUANTUM)
    async with slots.enter("sorter@1#aa"):
        assert slots.admits("sorter@1#aa")
        assert not slots.admits("sorter@2#bb")


@pytest.mark.parametrize(("slots", "quantum"), [(0, 1.0), (1, -1.0), (1, math.nan)])
def test_settings_that_make_no_sense_are_refused(slots: int, quantum: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        AdapterSlots(slots=slots, quantum=quantum)


@dataclass(frozen=True)
class Arrival:
    """One request of a simulation; seconds. `patience`: it is cancelled so long after it came."""

    adapter: str | None
    at: float
    stream: float
    patience: float | None


ARRIVALS = st.lists(
    st.builds(
        Arrival,
        adapter=st.one_of(st.none(), st.sampled_from("abcdefg")),
        at=st.integers(0, 60).map(float),  # whole seconds, so that much happens in the same moment
        stream=st.integers(0, 8).map(float),
        patience=st.one_of(st.none(), st.none(), st.integers(0, 12).map(float)),
    ),
    max_size=80,
)


class Simulation:
    """Random traffic through the slots, watched at every step."""

    def __init__(self, arrivals: list[Arrival], slots: int, quantum: float) -> None:
        self.arrivals = arrivals
        self.limit = slots
        self.slots = AdapterSlots(slots=slots, quantum=quantum)
        self.longest = max((arrival.stream for arrival in arrivals), default=0.0)
        self.turn = quantum + self.longest
        self.active: Counter[str] = Counter()
        self.in_line: dict[str, tuple[int, int]] = {}  # place when its first one came, and how many wait
        self.finished = 0
        self.given_up = 0

    async def run(self) -> None:
        tasks = [asyncio.create_task(self._client(arrival)) for arrival in self.arrivals]
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None and not isinstance(outcome, TimeoutError):
                raise outcome
        assert self.finished + self.given_up == len(self.arrivals)
        assert (self.slots.leased, self.slots.waiting) == (0, 0)
        assert not self.in_line

    async def _client(self, arrival: Arrival) -> None:
        await asyncio.sleep(arrival.at)
        try:
            async with asyncio.timeout(arrival.patience):
                await self._request(arrival)
        except TimeoutError:
            self.given_up += 1
            raise
        finally:
            self._look()
        self.finished += 1

    async def _request(self, arrival: Arrival) -> None:
        loop, adapter = asyncio.get_running_loop(), arrival.adapter
        came, at_once, bound = loop.time(), self.slots.admits(adapter), 0.0
        if not at_once:
            assert adapter is not None
            place, number = self.in_line.get(adapter, (len(self.in_line) + 1, 0))
            self.in_line[adapter] = (place, number + 1)
            bound = math.ceil(place / self.limit) * self.turn
        entering = self.slots.enter(adapter)
        try:
            await entering.__aenter__()
        finally:
            if not at_once:
                self._step_out(str(adapter))
            assert loop.time() - came <= bound + 1e-6
        try:
            await self._stream(adapter, arrival.stream)
        finally:
            await entering.__aexit__(None, None, None)

    async def _stream(self, adapter: str | None, seconds: float) -> None:
        if adapter is None:
            await asyncio.sleep(seconds)
            return
        self.active[adapter] += 1
        try:
            self._look()
            await asyncio.sleep(seconds)
        finally:
            self.active[adapter] -= 1

    def _step_out(self, adapter: str) -> None:
        place, number = self.in_line[adapter]
        self.in_line[adapter] = (place, number - 1)
        if number == 1:
            del self.in_line[adapter]

    def _look(self) -> None:
        assert len(+self.active) <= self.slots.leased <= self.limit
        assert not self.slots.waiting or self.slots.leased == self.limit, "a slot is idle while somebody waits"


@settings(max_examples=300, deadline=None)
@given(arrivals=ARRIVALS, slots=st.integers(1, 4), quantum=st.sampled_from((0.001, 1.0, 3.0, 6.0)))
def test_random_traffic(arrivals: list[Arrival], slots: int, quantum: float) -> None:
    """The bound holds for everybody, nobody starves, no slot idles while somebody waits, nothing is left at the end."""
    run_virtually(Simulation(arrivals, slots, quantum).run())


@virtually
async def test_steady_traffic_of_two_adapters_does_not_starve_a_third() -> None:
    """Each of the two always has a stream running: without leases their slots would never be free."""
    held, waited = hall(slots=2), list[float]()
    loop = asyncio.get_running_loop()

    async def steady(adapter: str, until: float) -> None:
        number = 0
        while loop.time() < until:
            number += 1
            await held.start(f"{adapter}{number}", 4)
            await asyncio.sleep(1)

    async def third(until: float) -> None:
        while loop.time() < until:
            await asyncio.sleep(5)
            came = loop.time()
            async with held.slots.enter("c"):
                waited.append(loop.time() - came)

    await asyncio.gather(steady("a", 500), steady("b", 500), third(500))
    await held.empty()
    assert len(waited) > 20
    assert max(waited) <= QUANTUM + 4
    assert max(waited) > 4  # it did have to wait
