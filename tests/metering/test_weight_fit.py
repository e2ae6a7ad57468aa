"""The weight of a prompt token out of the times of steps: found, with bounds that hold it, and charged by."""

from __future__ import annotations

import random

import pytest

from trivet.metering.machine.machine_time import SECOND, MachineTime
from trivet.metering.machine.weight_fit import EVERY, KEPT, LEAST, FittedWeight, WeightFit
from trivet.types.generation import MachineAccount, MachineState

FIXED, PROMPT, OUTPUT = 0.008, 0.0005, 0.004  # seconds: a weight of 0.125
Step = tuple[int, int, float]


def steps(
    count: int, seed: int, *, prompt: float = PROMPT, noise: float = 0.0005, disturbed: float = 0.1
) -> list[Step]:
    """A third compute prompts; some take up to ten times as long, for the machine did other work."""
    chance, found = random.Random(seed), []
    for _ in range(count):
        prompts = chance.choice((0, 0, chance.randrange(16, 256)))
        outputs = chance.randrange(1, 16)
        seconds = FIXED + prompt * prompts + OUTPUT * outputs + abs(chance.gauss(0, noise))
        if chance.random() < disturbed:
            seconds *= 1 + 9 * chance.random()
        found.append((prompts, outputs, seconds))
    return found


def fitted(found: list[Step]) -> FittedWeight | None:
    fit = WeightFit()
    for one in found:
        fit.add(*one)
    return fit.newest


def test_the_weight_is_found_among_disturbed_steps() -> None:
    inside = 0
    for seed in range(20):
        found = fitted(steps(2048, seed))
        assert found is not None
        assert found.sure
        assert found.weight == pytest.approx(PROMPT / OUTPUT, rel=0.05)
        assert found.seconds_each == pytest.approx(OUTPUT, rel=0.05)
        inside += found.lower <= PROMPT / OUTPUT <= found.upper
    assert inside >= 15  # of 95%, where what was left out is left out as it should be


@pytest.mark.parametrize(
    "found",
    [
        steps(EVERY - 1, 1),
        [(0, outputs, seconds) for _, outputs, seconds in steps(2048, 1)],
        [(max(1, prompts), outputs, seconds) for prompts, outputs, seconds in steps(2048, 1)],
        [(prompts, 4, seconds) for prompts, _, seconds in steps(2048, 1)],
        [(prompts, outputs, 0.01) for prompts, outputs, _ in steps(2048, 1)],
        [(prompts, outputs, float("nan")) for prompts, outputs, _ in steps(2048, 1)],
    ],
    ids=["few", "no prompts", "nothing but prompts", "always as many outputs", "the same time", "no time"],
)
def test_what_does_not_tell_gives_none(found: list[Step]) -> None:
    assert fitted(found) is None


def test_a_weight_between_wide_bounds_is_not_sure() -> None:
    found = fitted(steps(1024, 3, prompt=0.00001, noise=0.05))
    assert found is None or not found.sure


def play(machine: MachineTime, found: list[Step], now: int) -> int:
    """One request whose engine takes these steps; when they are over."""
    machine.begin("a", MachineAccount.REQUESTS, 10**9, now)
    for number, (prompts, outputs, seconds) in enumerate(found):
        machine.output("a", outputs + (number == 0), 1 if number == 0 else None, last=False)
        now += round(seconds * SECOND)
        machine.step(prompts, now)
    return now


def test_charges_follow_where_it_is_wanted_and_say_so() -> None:
    told: list[tuple[int, float]] = []
    follows = MachineTime(1000, 500, 0, follow=True, on_weight=lambda version, fit: told.append((version, fit.weight)))
    stays = MachineTime(1000, 500, 0)
    for machine in (follows, stays):
        machine.enter(MachineState.UP, 0)
        play(machine, steps(KEPT, 7), 0)
    assert (stays.prompt_weight, stays.weight_version) == (0.5, 1)
    assert stays.fitted is not None
    assert stays.fitted.weight == pytest.approx(0.125, rel=0.05)
    assert follows.prompt_weight == pytest.approx(0.125, rel=0.05)
    assert follows.weight_version == len(told) + 1 >= 2
    assert follows.weight_version <= 6, "it moves where it is beyond the bounds, not with every fit"
    versions, end = follows.weight_version, 10**13
    follows.end("a", end)
    end = play(follows, steps(2 * KEPT, 8, prompt=2 * PROMPT), end)  # another machine
    assert follows.weight_version > versions
    assert follows.prompt_weight == pytest.approx(0.25, rel=0.05)
    charge = follows.end("a", end)
    assert charge is not None
    assert charge.prompt_weight == follows.prompt_weight


def test_the_first_step_after_a_pause_tells_nothing() -> None:
    machine = MachineTime(1000, 100, 0)
    machine.enter(MachineState.UP, 0)
    now = 0
    for _ in range(3 * LEAST):
        now = play(machine, [(50, 0, 1.0)], now + SECOND)
        machine.end("a", now)
    assert len(machine._fit._steps) == 0
