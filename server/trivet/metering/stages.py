"""The gateway's own time for one request, by the stage of its work in which it passed."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

NO_STAGES: Mapping[str, float] = MappingProxyType({})


class Stage(StrEnum):
    """In the order of a request. Each is charged what passes until the next one, less what is waited for meanwhile.

    ADMISSION: until it has a place. RESOLVE: until its variant is found warm, and holds its adapter. RETRIEVE: until it
    has its passages. ASSEMBLE: until its tokens are there. STREAM: until the answer has ended. RECEIPT: the rest.
    """

    ADMISSION = "admission"
    RESOLVE = "resolve"
    RETRIEVE = "retrieve"
    ASSEMBLE = "assemble"
    STREAM = "stream"
    RECEIPT = "receipt"


class StageClock:
    """Times are seconds of the event loop's clock; `waited` is the sum of all waits of the request until then."""

    __slots__ = ("_own", "_since", "_stage", "_waited")

    def __init__(self, arrived: float) -> None:
        self._stage = Stage.ADMISSION
        self._since = arrived
        self._waited = 0.0
        self._own: dict[str, float] = {}

    def enter(self, stage: Stage, now: float, waited: float) -> None:
        """What has passed belongs to the stage before."""
        own = now - self._since - (waited - self._waited)
        self._own[self._stage] = self._own.get(self._stage, 0.0) + own
        self._stage, self._since, self._waited = stage, now, waited

    def close(self, now: float, waited: float, engine: float) -> dict[str, float]:
        """Seconds of each stage that was entered; `engine` is what the engine took, which passed in STREAM. Their sum
        is the time from the arrival until now, less waits and engine."""
        self.enter(self._stage, now, waited)
        if Stage.STREAM in self._own:
            self._own[Stage.STREAM] -= engine
        return self._own
