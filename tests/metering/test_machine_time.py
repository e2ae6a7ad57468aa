"""A machine's time is shared out whole: nothing twice and nothing lost, to the nanosecond and nano-dollar."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.metering.machine.machine_time import HOUR, MachineTime
from trivet.types.generation import MachineAccount, MachineCharge, MachineState

SECOND = 1_000_000_000
RATE = 2_500_000_000  # $2.50 an hour


def machine(rate: int = HOUR, weight: int = 100) -> MachineTime:
    """Up since 0. By default a nanosecond costs a nano-dollar, so that charges read as times."""
    made = MachineTime(rate, weight, 0)
    made.enter(MachineState.UP, 0)
    return made


def whole(of: MachineTime, now: int, rate: int = HOUR) -> None:
    """The invariant."""
    of.advance(now)
    booked = sum(of.nanoseconds.values())
    assert booked + of.in_progress == now
    assert sum(of.nano_usd.values()) == rate * booked // HOUR
    assert min(of.nanoseconds.values()) >= 0
    assert of.in_progress >= 0


def test_alone_a_request_takes_all_of_its_time() -> None:
    one = machine()
    one.begin("a", MachineAccount.REQUESTS, 500, 2 * SECOND)
    one.output("a", 1, 500, last=False)
    one.step(500, 5 * SECOND)
    for number in range(4):
        one.output("a", 1, None, last=number == 3)
        one.step(0, (6 + number) * SECOND)
    assert one.end("a", 10 * SECOND) == MachineCharge(3 * SECOND, 4 * SECOND)  # its reader is late, not the engine
    assert one.nanoseconds[MachineAccount.IDLE] == 3 * SECOND
    whole(one, 12 * SECOND)
    assert one.nanoseconds[MachineAccount.IDLE] == 5 * SECOND


def test_a_step_is_divided_by_what_was_computed_in_it() -> None:
    one = machine(weight=100)  # ten prompt tokens weigh as much as an output token
    for key in "ab":
        one.begin(key, MachineAccount.REQUESTS, 100, 0)
        one.output(key, 1, 100, last=False)
    one.step(200, 2 * SECOND)
    one.begin("c", MachineAccount.SHADOW, 80, 2 * SECOND)
    for key, tokens in (("a", 1), ("b", 1), ("c", 1)):
        one.output(key, tokens, 80 if key == "c" else None, last=False)
    one.step(80, 12 * SECOND)  # eight tenths for c's prompt, one each for a and b
    assert one.end("c", 12 * SECOND) == MachineCharge(8 * SECOND, 0)
    assert one.end("a", 12 * SECOND) == MachineCharge(SECOND, SECOND)
    assert one.end("b", 12 * SECOND) == MachineCharge(SECOND, SECOND)
    assert one.nanoseconds[MachineAccount.SHADOW] == 8 * SECOND


def test_a_prompt_that_takes_several_steps_is_charged_for_all_of_them() -> None:
    one = machine(weight=1000)
    one.begin("a", MachineAccount.REQUESTS, 300, 0)
    for number in range(3):
        if number == 2:
            one.output("a", 1, 300, last=False)
        one.step(100, (1 + number) * SECOND)
    assert one.end("a", 3 * SECOND) == MachineCharge(3 * SECOND, 0)


def test_what_was_cancelled_before_its_first_token_is_charged_to_nobody() -> None:
    one = machine()
    one.begin("a", MachineAccount.REQUESTS, 300, 0)
    one.begin("b", MachineAccount.REQUESTS, 300, 0)
    one.step(300, 3 * SECOND)  # of one of them
    assert one.end("b", 3 * SECOND) is None
    one.output("a", 1, 300, last=False)
    one.step(300, 6 * SECOND)
    assert one.end("a", 6 * SECOND) == MachineCharge(3 * SECOND, 0)
    assert one.nanoseconds[MachineAccount.UNATTRIBUTED] == 3 * SECOND
    whole(one, 6 * SECOND)


def test_an_engine_that_dies_owes_nothing_afterwards() -> None:
    one = machine()
    one.begin("a", MachineAccount.REQUESTS, 10, 0)
    one.begin("b", MachineAccount.REQUESTS, 10, 0)
    one.output("a", 1, 10, last=False)
    one.step(10, SECOND)
    one.enter(MachineState.DOWN, 2 * SECOND)
    assert one.end("a", 3 * SECOND) == MachineCharge(SECOND, 0)
    assert one.end("b", 3 * SECOND) is None
    one.enter(MachineState.STARTING, 4 * SECOND)
    one.enter(MachineState.UP, 9 * SECOND)
    whole(one, 10 * SECOND)
    assert [one.nanoseconds[account] // SECOND for account in MachineAccount] == [1, 0, 0, 1, 1, 5, 2]


def test_a_clock_that_stands_still_or_goes_back_changes_nothing() -> None:
    one = machine()
    one.begin("a", MachineAccount.REQUESTS, 10, 5)
    one.output("a", 1, 10, last=False)
    one.step(10, 3)
    assert one.end("a", 4) == MachineCharge(0, 0)
    whole(one, 5)


EVENTS = st.tuples(
    st.sampled_from(["begin", "step", "end", "late end", "state"]), st.integers(0, 10**10), st.integers(0, 99)
)


@given(st.lists(EVENTS, max_size=120), st.integers(0, 10**12), st.integers(1, 3000))
def test_whatever_happens_the_accounts_are_the_time(events: list[tuple[str, int, int]], rate: int, weight: int) -> None:
    one, now, running, charged = machine(rate, weight), 0, dict[str, int](), 0
    for number, (what, passed, draw) in enumerate(events):
        now += passed
        keys = sorted(running)
        if what == "begin":
            running[str(number)] = 0
            one.begin(str(number), list(MachineAccount)[draw % 3], 1 + draw, now)
        elif what == "state":
            one.enter(list(MachineState)[draw % 3], now)
        else:
            for position, key in enumerate(keys):
                if (draw + position) % 3:
                    computed = 1 + draw % 7 if not running[key] else None
                    one.output(key, 1 + draw % 2, computed, last=what == "end" and draw % 5 == 0)
                    running[key] += 1
            if what == "step":
                one.step(draw * 3, now)
            elif keys:
                key = keys[draw % len(keys)]
                if what == "end":
                    one.step(draw, now)
                del running[key]
                charge = one.end(key, now)
                charged += 0 if charge is None else charge.prefill + charge.decode
        whole(one, now, rate)
    for key in sorted(running):
        charge = one.end(key, now)
        charged += 0 if charge is None else charge.prefill + charge.decode
    assert charged == sum(one.nano_usd[account] for account in list(MachineAccount)[:3])
    assert one.in_progress == 0
    whole(one, now, rate)


@pytest.mark.parametrize("seed", range(3))
def test_two_thousand_requests_are_charged_as_another_way_of_counting_does(seed: int) -> None:
    """Steps that know who computed what, divided with fractions; the machine knows it only at the first token."""
    draws, one, now = random.Random(seed), machine(RATE, 120), 0
    left: dict[str, list[int]] = {}  # prompt and output tokens to come
    prompts: dict[str, int] = {}
    exact: dict[str, Fraction] = {}
    charged: dict[str, int] = {}
    number = 0
    while number < 2000 or left:
        while number < 2000 and len(left) < draws.randrange(1, 24):
            key, prompt = str(number), draws.randrange(1, 400)
            left[key], prompts[key], exact[key] = [prompt, draws.randrange(1, 30)], prompt, Fraction(0)
            one.begin(key, MachineAccount.REQUESTS, prompt, now)
            number += 1
        budget, work = 256, dict[str, tuple[int, int]]()
        for key, (prompt, _) in left.items():
            taken = min(prompt, budget)
            budget -= taken
            if prompt == 0 or taken:
                work[key] = (taken, 0 if prompt else 1)
        weights = {key: 120 * prompt + 1000 * output for key, (prompt, output) in work.items()}
        duration = 1000 * sum(weights.values())  # a machine on which a token takes always as long
        now += duration
        for key, weight in weights.items():
            exact[key] += Fraction(duration * weight, sum(weights.values()))
            prompt = work[key][0]
            left[key][0] -= prompt
            if not left[key][0]:
                one.output(key, 1, prompts[key] if prompt else None, last=False)
                left[key][1] -= 1
        one.step(sum(prompt for prompt, _ in work.values()), now)
        for key in [key for key, (_, output) in left.items() if output == 0]:
            charge = one.end(key, now)
            assert charge is not None
            charged[key] = charge.prefill + charge.decode
            del left[key]
    whole(one, now, RATE)
    assert sum(charged.values()) == RATE * now // HOUR
    for key, nanoseconds in exact.items():
        assert abs(charged[key] - nanoseconds * RATE / HOUR) <= 3
