"""Shares and paired differences with intervals that all hold at once.

Advice looks at the best of several arms and at several differences, so each interval is widened (Bonferroni) until all
that could be looked at hold together with 95%. Shares have Wilson's interval (1927); differences of paired shares the
adjusted Wald interval of Agresti and Min (Statistics in Medicine 24, 2005): half an answer is added to each cell of the
table of pairs, so that two arms that agree on every question are not taken for equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from trivet.advice.evidence import ArmEvidence, Evidence

LEVEL = 0.95
POWER = 0.8
MOST_NEEDED = 100_000
Answers = Callable[[ArmEvidence], Sequence[bool]]


@dataclass(frozen=True, slots=True)
class Share:
    """Of `n` answers."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{100 * self.value:.1f}% [{100 * self.low:.1f}, {100 * self.high:.1f}]"


@dataclass(frozen=True, slots=True)
class Difference:
    """Of two arms on the same `n` questions. `differing`: the share of them that only one of the two has right."""

    value: float
    low: float
    high: float
    differing: float
    n: int

    def __str__(self) -> str:
        return f"{100 * self.value:+.1f} points [{100 * self.low:+.1f}, {100 * self.high:+.1f}]"

    def gains(self, margin: float) -> bool:
        """Whether a gain is shown, of a size that is worth a change."""
        return self.value >= margin and self.low > 0

    def gains_nothing(self, margin: float) -> bool:
        """Whether it is shown that no gain of that size is there."""
        return self.high < margin

    def keeps(self, margin: float) -> bool:
        """Whether it is shown that no more than that is lost."""
        return self.low > -margin

    def loses(self) -> bool:
        """Whether a loss is shown."""
        return self.high < 0


def right(arm: ArmEvidence) -> Sequence[bool]:
    """All that is judged."""
    return arm.right


def value_right(arm: ArmEvidence) -> Sequence[bool]:
    """The form set aside."""
    return arm.value_right


class Comparisons:
    """Of the arms of one evidence."""

    def __init__(self, evidence: Evidence) -> None:
        arms = len(evidence.asked)
        looked_at = arms * (arms - 1) + 4 * arms  # pairs and shares, each with and without the form; and thresholds
        self._level = 1 - (1 - LEVEL) / looked_at
        self._z = NormalDist().inv_cdf((1 + self._level) / 2)

    def share(self, arm: ArmEvidence, answers: Answers = right) -> Share:
        """How much an arm has right."""
        given = answers(arm)
        n, share = len(given), sum(given) / len(given)
        middle = share + self._z**2 / (2 * n)
        spread = self._z * math.sqrt(share * (1 - share) / n + self._z**2 / (4 * n * n))
        scale = 1 + self._z**2 / n
        return Share(share, max((middle - spread) / scale, 0.0), min((middle + spread) / scale, 1.0), n)

    def difference(self, one: ArmEvidence, other: ArmEvidence, answers: Answers = right) -> Difference:
        """How much more `one` has right than `other`."""
        pairs = list(zip(answers(one), answers(other), strict=True))
        n = len(pairs)
        gained = sum(mine and not its for mine, its in pairs)
        lost = sum(its and not mine for mine, its in pairs)
        middle = (gained - lost) / (n + 2)
        spread = self._z * math.sqrt((gained + lost + 1) - (gained - lost) ** 2 / (n + 2)) / (n + 2)
        low, high = max(middle - spread, -1.0), min(middle + spread, 1.0)
        return Difference((gained - lost) / n, low, high, (gained + lost) / n, n)

    def more_for_difference(self, found: Difference, margin: float, *, keeping: bool = False) -> int:
        """About how many more questions would settle a difference that is open: a gain, or (`keeping`) that nothing of
        that size is lost."""
        if keeping:
            distance = max(found.value + margin, margin / 2)
        else:
            distance = found.value if found.value >= margin else max(margin - found.value, margin / 2)
        variance = max(found.differing, 1 / found.n) - found.value**2
        return self._more(variance, distance, found.n)

    def more_for_share(self, found: Share, threshold: float) -> int:
        """About how many more questions would tell on which side of the threshold a share is."""
        distance = max(abs(found.value - threshold), 0.02)
        return self._more(max(found.value * (1 - found.value), 1 / found.n), distance, found.n)

    def _more(self, variance: float, distance: float, n: int) -> int:
        wanted = (self._z + NormalDist().inv_cdf(POWER)) ** 2 * max(variance, 0.0) / distance**2
        return round_up(min(max(wanted - n, n / 4, 10), MOST_NEEDED))


def round_up(number: float) -> int:
    """To two digits: it is an estimate."""
    unit: int = 10 ** max(len(str(int(number))) - 2, 0)
    return math.ceil(number / unit) * unit


def best(arms: Iterable[ArmEvidence], answers: Answers = right) -> ArmEvidence | None:
    """The one with most right answers; of equals the cheapest, then the first. None of none."""
    known = list(arms)
    if not known:
        return None
    return max(known, key=lambda arm: (sum(answers(arm)), -(arm.cost.value if arm.cost else math.inf)))
