"""Rollouts of the simulation through the real controller and store decide as the pure simulation says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.rollouts.binomial import lower
from benchmarks.rollouts.cells import CONTROLLED, cells
from benchmarks.rollouts.controlled import Differs, held, place
from benchmarks.rollouts.runs import Question

RUNS = 8


def shortened(name: str, requests: int) -> Question:
    question = cells()[name].question
    return replace(question, world=replace(question.world, requests=requests))


@pytest.mark.parametrize("name", CONTROLLED)
async def test_the_controller_decides_as_the_simulation(name: str) -> None:
    with place() as where:
        found = await held(shortened(name, 800), where, (31, 1))
    assert found.compared >= 3


async def test_false_rollbacks_stay_below_the_bound_and_true_ones_are_made() -> None:
    """Few runs, so that this is quick; `python -m benchmarks.rollouts --controlled` makes more."""
    known = cells()
    with place() as where:
        false = [
            (
                await held(shortened("a bot of 25% that always fails, 50%, 2,000 units", 1600), where, (32, number))
            ).answer
            for number in range(RUNS)
        ]
        true = [
            (await held(known["format 95 to 90, 50%, 2,000 units"].question, where, (33, number))).answer
            for number in range(3)
        ]
    assert lower(sum(one.rolled_back is not None for one in false), RUNS) <= 0.05
    assert all(one.rolled_back is not None for one in true)


async def test_a_server_that_counts_otherwise_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trivet.rollouts.tallying.tally.FIRST_REQUESTS", 10)
    with place() as where, pytest.raises(Differs):
        await held(shortened("a bot of 25% that always fails, 50%, 2,000 units", 800), where, (32, 0))
