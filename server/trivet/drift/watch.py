"""Looks at the questions of the routes that want it, in a thread, some seconds behind them."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trivet.drift.detector import Detector
from trivet.drift.state import RouteDrift, load, save
from trivet.types.passage import QueryVector
from trivet.types.variant import DriftSettings

logger = logging.getLogger(__name__)

MOST_WAITING = 4096  # questions; more are left out, whatever they ask
_EVERY = 5.0  # seconds
_SAVE_EVERY = 60.0
_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class _Question:
    route: str
    request_id: str
    vector: QueryVector


class DriftWatch:
    """All calls come from one event loop: `start` once, `close` last. What it knows is kept in a folder."""

    def __init__(
        self,
        folder: Path,
        settings: Callable[[str], DriftSettings | None],
        on_evidence: Callable[[str, float, bool], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`settings`: of a route, by its name; None if it is not watched. `on_evidence` is told a route, the decimal
        logarithm of the evidence, and whether there was an alarm of late; it is called from a thread."""
        self._folder = folder
        self._settings = settings
        self._on_evidence = on_evidence
        self._clock = clock
        self._waiting: deque[_Question] = deque(maxlen=MOST_WAITING)
        self._routes: dict[str, RouteDrift] = {}
        self._saved: dict[str, float] = {}
        self._alarming: set[str] = set()  # routes of which an alarm was told
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look at what waits, every few seconds."""
        self._task = asyncio.create_task(self._run(), name="drift")

    def recall(self, route: str) -> None:
        """Let `on_evidence` be told what is known of a route from before. Blocks; before `start`."""
        if (settings := self._settings(route)) is not None:
            self._tell(route, settings, self._state(route))

    def offer(self, route: str, request_id: str, vector: QueryVector) -> None:
        """A question was searched with. Returns at once."""
        if self._settings(route) is not None and len(self._waiting) < MOST_WAITING:
            self._waiting.append(_Question(route, request_id, vector))

    async def flush(self) -> None:
        """Look at all that waits now."""
        async with self._turn:
            batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
            by_route: dict[str, list[_Question]] = {}
            for question in batch:
                by_route.setdefault(question.route, []).append(question)
            for route, questions in by_route.items():
                if (settings := self._settings(route)) is not None:
                    await asyncio.to_thread(self._look_at, route, settings, questions)
            for route in self._alarming - by_route.keys():  # which nobody asks: its alarm ends all the same
                await asyncio.to_thread(self._end_alarm, route)

    async def close(self) -> None:
        """Look at the rest, and keep what is known."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.flush()
        async with self._turn:
            for route, state in self._routes.items():
                if (settings := self._settings(route)) is not None:
                    await asyncio.to_thread(self._save, route, settings, state)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_EVERY)
            try:
                await self.flush()
            except Exception:
                logger.exception("drift could not be looked at")

    def _look_at(self, route: str, settings: DriftSettings, questions: list[_Question]) -> None:
        state = self._state(route)
        for question in questions:
            model = f"{question.vector.model}/{len(question.vector.values)}"
            if state.model != model:  # vectors of different models cannot be compared
                state.model, state.collected, state.detector = model, [], None
            state.questions += 1
            self._add(route, state, settings, question)
        self._tell(route, settings, state)
        if self._clock() - self._saved.get(route, 0.0) >= _SAVE_EVERY:
            self._save(route, settings, state)

    def _tell(self, route: str, settings: DriftSettings, state: RouteDrift) -> None:
        evidence = 1.0 if state.detector is None else state.detector.evidence
        alarmed = self._alarmed(state, settings)
        (self._alarming.add if alarmed else self._alarming.discard)(route)
        self._on_evidence(route, math.log10(max(evidence, 1e-300)), alarmed)

    def _end_alarm(self, route: str) -> None:
        """If it is old by now, or the route is watched no longer."""
        settings, state = self._settings(route), self._state(route)
        if settings is None:
            self._alarming.discard(route)
            self._on_evidence(route, 0.0, False)
        elif not self._alarmed(state, settings):
            self._tell(route, settings, state)
            self._save(route, settings, state)

    def _add(self, route: str, state: RouteDrift, settings: DriftSettings, question: _Question) -> None:
        vector = np.asarray(question.vector.values, dtype=np.float32)
        if state.detector is None:
            state.collected.append(vector)
            if len(state.collected) >= settings.reference:
                state.detector, state.collected = Detector.of(np.stack(state.collected)), []
            return
        state.detector.add(vector[None, :], [question.request_id])
        if state.detector.alarmed:
            state.alarmed_at, state.alarms, state.new = self._clock(), state.alarms + 1, state.detector.new_topics()
            logger.warning("route %s is asked other questions than before: retrain or re-index", route)
            self._save(route, settings, state)
        if state.detector.alarmed or state.detector.full:
            state.detector = None  # what comes now is the next reference

    def _state(self, route: str) -> RouteDrift:
        if route not in self._routes:
            self._routes[route] = load(self._folder, route) or RouteDrift()
        return self._routes[route]

    def _alarmed(self, state: RouteDrift, settings: DriftSettings) -> bool:
        return bool(state.alarms) and self._clock() - state.alarmed_at < settings.alarm_days * _DAY

    def _save(self, route: str, settings: DriftSettings, state: RouteDrift) -> None:
        self._saved[route] = self._clock()
        try:
            save(state, self._folder, route, status=self._status(state, settings))
        except OSError as error:
            logger.warning("the drift of route %s could not be kept: %s", route, error)

    def _status(self, state: RouteDrift, settings: DriftSettings) -> Mapping[str, Any]:
        detector = state.detector
        return {
            "questions": state.questions,
            "reference": settings.reference,
            "collected": settings.reference if detector is not None else len(state.collected),
            "evidence": None if detector is None else detector.evidence,
            "alarmed": self._alarmed(state, settings),
            "alarmed_at": state.alarmed_at or None,
            "alarms": state.alarms,
            "new": [asdict(topic) for topic in state.new],
        }
