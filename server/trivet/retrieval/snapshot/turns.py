"""Tenants' turns with what all indexes share."""

from __future__ import annotations

from dataclasses import dataclass, field

from trivet.fairness.fair_semaphore import FairSemaphore

# At once, and of one tenant beside others. What is under way in front of another tenant's call is the second number;
# the first one is for a tenant alone, whose calls only keep each other at hand.
#
# Our own vector engine does one thing at a time. Another engine is a network away, and does many at once.
SEARCHES = (4, 1)
SEARCHES_ELSEWHERE = (32, 16)
# Documents under way, from the check to the acknowledgement. There are a dozen places to wait on that way (threads,
# processes, the vector engine) that know no tenants: what stands in front of another tenant's document there is
# bounded here.
WRITES = (16, 4)
# The log is written by one thread, and syncs each commit.
COMMITS = (2, 1)


@dataclass(frozen=True, slots=True)
class IndexTurns:
    """For searches in the vector engine (not for the embedding of their queries), for upserts as a whole, and for
    commits into the log and the vector engine."""

    searches: FairSemaphore = field(default_factory=lambda: FairSemaphore(*SEARCHES))
    writes: FairSemaphore = field(default_factory=lambda: FairSemaphore(*WRITES))
    commits: FairSemaphore = field(default_factory=lambda: FairSemaphore(*COMMITS))

    @classmethod
    def with_engine(cls, *, owned: bool) -> IndexTurns:
        """With an engine of our own, or another one."""
        return cls() if owned else cls(searches=FairSemaphore(*SEARCHES_ELSEWHERE))
