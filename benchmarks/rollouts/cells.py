"""The questions, by name: what is asked of the statistics and the decisions, and which answer is acceptable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import product

from benchmarks.rollouts.looks import Counting
from benchmarks.rollouts.runs import Answer, Question
from benchmarks.rollouts.traffic import World
from trivet.rollouts.spec import GuardrailKind


class Counted(Enum):
    """Which runs a cell counts."""

    ROLLED_BACK = "rolled back"
    PROVEN = "proven"
    PROMOTED = "promoted"
    MISMATCH = "mismatch found"


@dataclass(frozen=True)
class Cell:
    """`most`: the share of runs may be at most this; `least`: at least. Neither: told, not promised.

    `proven`: whose proof is counted. `control`: a method that is not the server's and has to fail.
    """

    question: Question
    counted: Counted
    most: float | None = None
    least: float | None = None
    proven: str = ""
    control: bool = False

    def happened(self, answer: Answer) -> bool:
        """Whether a run counts."""
        match self.counted:
            case Counted.ROLLED_BACK:
                return answer.rolled_back is not None
            case Counted.PROVEN:
                return self.proven in answer.proven
            case Counted.PROMOTED:
                return answer.promoted is not None
            case Counted.MISMATCH:
                return answer.mismatch_units is not None


SCHEDULE = (0.01, 0.05, 0.25, 0.5)
BY_REQUEST = Counting(first=10**9, by_request=True)
AT_MARGIN_SLOWER = 1.236
"""Takes the share of times above stable's p95 from 5 to 10%, the margin, with the simulated spread of 0.58."""


def cells() -> dict[str, Cell]:
    """All of them, the most telling first."""
    return {**_controls(), **_null(), **_schedules(), **_traps(), **_power(), **_promotion(), **_margins(), **_ratio()}


QUICK = ("control: by request, 50%, 2,000 units", "no harm, 50%, 500 units", "1.5x the time, 50%, 2,000 units")

CONTROLLED = (
    "no harm, 50%, 5,000 units",
    "a bot of 25% that always fails, 50%, 2,000 units",
    "no harm, 1%, 2,000 units",
    "no harm, 1-5-25-50%, drift 0.6, 5,000 units",
    "200 cold requests, marked, 5%, 2,000 units",
    "format 95 to 90, 50%, 2,000 units",
    "1.5x the time, 5%, 2,000 units",
    "error 0.5 to 50%, 1%, 5,000 units",
    "equal, four guardrails proven in 40,000 requests, 50%, 5,000 units",
    "format a point beyond the margin, 40,000 requests, 50%, 5,000 units",
)
"""Those that are run through the controller too: where false rollbacks and misses are likeliest, and each rule once."""


def _null() -> dict[str, Cell]:
    return {
        f"no harm, {share:.0%}, {units:,} units": Cell(Question(World(units, (share,))), Counted.ROLLED_BACK, most=0.05)
        for share, units in product((0.5, 0.25, 0.05, 0.01), (500, 2000, 5000))
    }


def _controls() -> dict[str, Cell]:
    return {
        "control: by request, 50%, 2,000 units": Cell(
            Question(World(2000, (0.5,)), counting=BY_REQUEST), Counted.ROLLED_BACK, most=0.05, control=True
        ),
        "control: pooled over 1-5-25-50%, drift 0.6, 5,000 units": Cell(
            Question(World(5000, SCHEDULE, drift=0.6), pooled=True), Counted.ROLLED_BACK, most=0.05, control=True
        ),
        "control: 200 cold requests that count, 5%, 2,000 units": Cell(
            Question(World(2000, (0.05,), cold=200)), Counted.ROLLED_BACK, most=0.05, control=True
        ),
    }


def _schedules() -> dict[str, Cell]:
    found = {
        f"no harm, 1-5-25-50%, drift {drift}, 5,000 units": Cell(
            Question(World(5000, SCHEDULE, drift=drift)), Counted.ROLLED_BACK, most=0.05
        )
        for drift in (0.3, 0.6)
    }
    harm = {GuardrailKind.FORMAT: 0.05}
    found["format 95 to 90, 1-5-25-50%, drift 0.3, 5,000 units"] = Cell(
        Question(World(5000, SCHEDULE, drift=0.3, worse=harm)), Counted.ROLLED_BACK
    )
    return found


def _traps() -> dict[str, Cell]:
    return {
        "a bot of 25% that always fails, 50%, 2,000 units": Cell(
            Question(World(2000, (0.5,), bot=0.25)), Counted.ROLLED_BACK, most=0.05
        ),
        "200 cold requests, marked, 5%, 2,000 units": Cell(
            Question(World(2000, (0.05,), cold=200, cold_marked=True)), Counted.ROLLED_BACK, most=0.05
        ),
    }


def _power() -> dict[str, Cell]:
    harms: Mapping[str, World] = {
        "format 95 to 90": World(0, (), worse={GuardrailKind.FORMAT: 0.05}),
        "1.5x the time": World(0, (), slower=1.5),
        "error 0.5 to 2%": World(0, (), worse={GuardrailKind.ERROR: 0.015}),
    }
    promised = {("format 95 to 90", 0.5, 2000), ("1.5x the time", 0.5, 2000), ("1.5x the time", 0.05, 2000)}
    found = {
        f"{name}, {share:.0%}, {units:,} units": Cell(
            Question(World(units, (share,), worse=harm.worse, slower=harm.slower)),
            Counted.ROLLED_BACK,
            least=0.95 if (name, share, units) in promised else None,
        )
        for (name, harm), share, units in product(harms.items(), (0.5, 0.25, 0.05), (2000, 5000, 500))
    }
    found["error 0.5 to 50%, 1%, 5,000 units"] = Cell(
        Question(World(5000, (0.01,), worse={GuardrailKind.ERROR: 0.495})), Counted.ROLLED_BACK
    )
    return found


def _promotion() -> dict[str, Cell]:
    equal = Question(World(5000, (0.5,), requests=40_000), prove=True)
    below = Question(World(5000, (0.5,), requests=40_000, worse={GuardrailKind.FORMAT: 0.03}), prove=True)
    return {
        "equal, four guardrails proven in 40,000 requests, 50%, 5,000 units": Cell(equal, Counted.PROMOTED, least=0.95),
        "format a point beyond the margin, 40,000 requests, 50%, 5,000 units": Cell(below, Counted.PROMOTED, most=0.05),
    }


def _margins() -> dict[str, Cell]:
    worlds = {
        GuardrailKind.ERROR: World(0, (), worse={GuardrailKind.ERROR: 0.01}),
        GuardrailKind.FORMAT: World(0, (), worse={GuardrailKind.FORMAT: 0.02}),
        GuardrailKind.TTFT: World(0, (), slower=AT_MARGIN_SLOWER),
    }
    return {
        f"{kind.value} at the margin, {share:.0%}, {units:,} units": Cell(
            Question(World(units, (share,), worse=world.worse, slower=world.slower), prove=True),
            Counted.PROVEN,
            most=0.05,
            proven=kind.value,
        )
        for (kind, world), (share, units) in product(worlds.items(), ((0.05, 5000), (0.5, 2000)))
    }


def _ratio() -> dict[str, Cell]:
    def asked(share: float, arriving: float) -> Question:
        return Question(World(5000, (share,), arriving=arriving), check_ratio=True)

    return {
        "no mismatch, 50%, 5,000 units": Cell(asked(0.5, 0.5), Counted.MISMATCH, most=0.001),
        "no mismatch, 5%, 5,000 units": Cell(asked(0.05, 0.05), Counted.MISMATCH, most=0.001),
        "5% that is 2.5%, 5,000 units": Cell(asked(0.05, 0.025), Counted.MISMATCH, least=0.95),
    }
