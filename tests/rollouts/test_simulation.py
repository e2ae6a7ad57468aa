"""The simulation tells good methods from bad ones, and its sums are the server's."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.rollouts.binomial import lower, upper
from benchmarks.rollouts.cells import cells
from benchmarks.rollouts.looks import EVERY, Counting, look
from benchmarks.rollouts.runs import run
from benchmarks.rollouts.traffic import World, draw
from trivet.rollouts.spec import GuardrailKind
from trivet.rollouts.statistics import ArmSums
from trivet.types.rollout import Arm


def test_sums_at_a_look_are_those_of_its_units() -> None:
    (requests,) = draw(World(300, (0.3,), requests=3000, bot=0.2), np.random.default_rng(4)).steps
    looks = look(requests, 0, 0.3, Counting(), smoke=False)
    for number in (50, len(looks) - 1):
        units: dict[int, list[int]] = {}
        for index in range(EVERY * (number + 1)):
            mine = units.setdefault(int(requests.unit[index]), [])
            if len(mine) < 20:
                mine.append(index)
        for kind in (GuardrailKind.ERROR, GuardrailKind.FEEDBACK):
            values = requests.numbers[kind]
            rows = [values[mine] for mine in units.values() if requests.candidate[mine[0]]]
            rows = [row[~np.isnan(row)] for row in rows if not np.isnan(row).all()]
            plain = ArmSums.of(np.array([float(len(row)) for row in rows]), np.array([row.sum() for row in rows]))
            found = looks.statistics(number).sums[Arm.CANDIDATE][kind]
            assert found.values() == pytest.approx(plain.values(), abs=1e-9)


def test_counting_by_request_is_found_out_and_counting_by_unit_is_not() -> None:
    known = cells()
    control = known["control: by request, 50%, 2,000 units"]
    servers = known["no harm, 50%, 2,000 units"]
    wrong = sum(control.happened(run(control.question, (9, number))) for number in range(20))
    right = sum(servers.happened(run(servers.question, (9, number))) for number in range(60))
    assert lower(wrong, 20) > 0.065
    assert lower(right, 60) <= 0.05


def test_the_bounds_are_exact() -> None:
    assert upper(0, 100) == pytest.approx(1 - 0.05 ** (1 / 100), abs=1e-9)
    assert lower(100, 100) == pytest.approx(0.05 ** (1 / 100), abs=1e-9)
    assert upper(50, 1000) == pytest.approx(0.0630, abs=5e-4)
    assert (upper(5, 5), lower(0, 5)) == (1.0, 0.0)


def test_a_step_with_less_than_a_block_of_stable_requests_keeps_the_limits_before_it() -> None:
    steps = draw(World(300, (0.05, 0.5), requests=800), np.random.default_rng(4)).steps
    assert [len(step.unit) for step in steps] == [400, 400]
    assert all(0 < step.numbers[GuardrailKind.TTFT].mean() < 0.3 for step in steps)
