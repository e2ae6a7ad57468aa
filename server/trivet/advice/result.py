"""What advice says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from trivet.advice.comparison import Share
from trivet.advice.evidence import Amount


class Action(Enum):
    """What to do."""

    KEEP = "keep"
    SIMPLIFY = "simplify"
    """Leave out what brings nothing."""
    RETRIEVE = "add retrieval"
    STUFF = "stuff the prefix"
    TRAIN = "train"
    DISTIL = "distil"
    COMBINE = "combine"
    OTHER_MODEL = "another model"
    COLLECT = "not enough evidence"


class Finding(Enum):
    """The answer to a step's question."""

    YES = "yes"
    NO = "no"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Step:
    """One question of the procedure. `changes`: what would turn the finding. `needs`: what an open one lacks."""

    name: str
    question: str
    finding: Finding
    evidence: str
    changes: str = ""
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Month:
    """USD a month for so many requests: with what the route has, and with what is advised. None: not known."""

    requests: float
    current: Amount | None
    advised: Amount | None


@dataclass(frozen=True, slots=True)
class Advice:
    """`arm`: the measured arm that is meant; empty for one that has yet to be made. `expected`: what it has right.

    `examples`: of a training that is advised, the least that it takes and how many make it reliable. `months`: today's
    volume and ten times of it. `pays_after`: requests until the training is paid by what each of them saves; None if
    that is not known, or never. `needs`: what has to be collected first.
    """

    action: Action
    reason: str
    steps: tuple[Step, ...]
    current: str
    current_right: Share
    arm: str = ""
    expected: Share | None = None
    examples: tuple[int, int] | None = None
    months: tuple[Month, ...] = ()
    pays_after: int | None = None
    needs: tuple[str, ...] = ()
