"""Tenants' turns with what all indexes share."""

from __future__ import annotations

from dataclasses import dataclass, field

from trivet.fairness.fair_semaphore import FairSemaphore

# Our own vector engine does one thing at a time: with two, the next one is at hand when it is done. Another engine is a
# network away, and does many at once.
SEARCHES_AT_ONCE = 2
SEARCHES_AT_ONCE_ELSEWHERE = 32
# Documents under way, from the check to the acknowledgement. There are a dozen places to wait on that way (threads,
# processes, the vector engine) that know no tenants: what stands in front of another tenant's document there is
# bounded here.
WRITES_AT_ONCE = 8
# The log is written by one thread, and syncs each commit.
COMMITS_AT_ONCE = 2


def _halved(at_once: int) -> FairSemaphore:
    return FairSemaphore(at_once, at_once // 2)


@dataclass(frozen=True, slots=True)
class IndexTurns:
    """Of each, one tenant has half beside others: searches in the vector engine (not the embedding of their queries),
    upserts as a whole, and commits into the log and the vector engine."""

    searches: FairSemaphore = field(default_factory=lambda: _halved(SEARCHES_AT_ONCE))
    writes: FairSemaphore = field(default_factory=lambda: _halved(WRITES_AT_ONCE))
    commits: FairSemaphore = field(default_factory=lambda: _halved(COMMITS_AT_ONCE))

    @classmethod
    def with_engine(cls, *, owned: bool) -> IndexTurns:
        """With an engine of our own, or another one."""
        return cls() if owned else cls(searches=_halved(SEARCHES_AT_ONCE_ELSEWHERE))
