"""Keeps answered requests: drawn, redacted, sealed and stored, in a task of its own."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trivet.errors import InvalidRequest, StateUnavailable
from trivet.interactions.contents import MAX_CHARACTERS, interaction_of, redacted, size_of
from trivet.interactions.redaction import Redactor
from trivet.interactions.sealing import Sealer
from trivet.interactions.store import MOST_BYTES, InteractionStore
from trivet.types.answer import Answer
from trivet.types.interaction import Interaction, SealedInteraction
from trivet.types.receipt import Receipt
from trivet.types.request import GenerateCall

logger = logging.getLogger(__name__)

STORED, REPEATED, TOO_LARGE, LOST, FAILED = "stored", "repeated", "too_large", "lost", "failed"
OUTCOMES = (STORED, REPEATED, TOO_LARGE, LOST, FAILED)
MOST_CHARACTERS = 16 << 20  # that wait for the store
_BESIDE = 4 << 10  # counted for each in addition: its receipt and all that is no text
_BATCH = 64
_EVERY = 1.0  # seconds between batches
_AGAIN = 5.0  # seconds after the store could not be reached
_FORGET_EVERY = 600.0
_LAST = 3.0  # seconds that a stop waits for the store


@dataclass(frozen=True, slots=True)
class _Waiting:
    """What is kept of a request, and nothing else: passages, log probabilities and other choices are not held."""

    interaction: Interaction
    unit_id: str
    receipt: Receipt
    size: int
    answered: float  # by the monotonic clock


class InteractionRecorder:
    """All calls come from one event loop: `start` once, `close` last."""

    def __init__(
        self,
        store: InteractionStore,
        shares: Callable[[str], float],
        *,
        redactor: Redactor,
        sealer: Sealer,
        receipt_form: Callable[[Receipt], Mapping[str, Any]],
        keep_seconds: float,
        count: Callable[[str, int], None],
        draw: Callable[[], float] = random.random,
    ) -> None:
        """`shares`: of a route's answers that are kept, by its name. `count` is told outcomes and how many had each."""
        self._store = store
        self._shares = shares
        self._redactor = redactor
        self._sealer = sealer
        self._receipt_form = receipt_form
        self._keep_seconds = keep_seconds
        self._count = count
        self._draw = draw
        self._waiting: deque[_Waiting] = deque()
        self._size = 0
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()
        self._away = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Hand over what waits, once a second, and forget what is old."""
        self._task = asyncio.create_task(self._run(), name="interactions")

    def offer(self, call: GenerateCall, answer: Answer) -> None:
        """A request was answered: keep it if its route does and it is drawn. Returns at once, and never raises."""
        share = self._shares(call.route)
        if not share or self._draw() >= share:
            return
        size = size_of(call, answer)
        if size > MAX_CHARACTERS:
            self._count(TOO_LARGE, 1)
        elif self._size + size + _BESIDE > MOST_CHARACTERS:
            self._count(LOST, 1)
        else:
            kept = interaction_of(call, answer)
            self._waiting.append(_Waiting(kept, call.unit_id, answer.receipt, size + _BESIDE, time.monotonic()))
            self._size += size + _BESIDE
            if len(self._waiting) >= _BATCH:
                self._wake.set()

    async def flush(self) -> None:
        """Hand over all that waits now; raises StateUnavailable."""
        left = len(self._waiting)
        while left > 0 and self._waiting:
            left -= await self._hand_over()

    async def close(self) -> None:
        """Hand over what waits, as far as the store can be reached in a moment; the rest is lost, and counted."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        try:
            async with asyncio.timeout(_LAST):
                await self.flush()
        except (TimeoutError, StateUnavailable):
            logger.warning("%d interactions could not be handed over to the state store", len(self._waiting))
        if self._waiting:
            self._count(LOST, len(self._waiting))

    async def _run(self) -> None:
        forgotten = 0.0
        while True:
            try:
                await self.flush()
                if time.monotonic() - forgotten > _FORGET_EVERY or not forgotten:
                    forgotten = time.monotonic()
                    await self._forget()
                self._say(away=False)
                pause = _EVERY
            except StateUnavailable:
                self._say(away=True)
                pause = _AGAIN
            except Exception:
                logger.exception("interactions could not be kept")
                pause = _AGAIN
            self._wake.clear()
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _forget(self) -> None:
        while await self._store.forget_interactions(self._keep_seconds):
            pass

    async def _hand_over(self) -> int:
        """Store a batch; how many were taken out of the queue. One that fails stays in it while the store is away."""
        async with self._turn:
            batch = [self._waiting[place] for place in range(min(_BATCH, len(self._waiting)))]
            sealed = await asyncio.to_thread(self._sealed, batch)
            now = time.monotonic()
            kept = [
                (one, now - waiting.answered)
                for one, waiting in zip(sealed, batch, strict=True)
                if one is not None and len(one.data) <= MOST_BYTES
            ]
            outcomes = await self._stored(kept)
            for waiting in batch:
                self._waiting.popleft()
                self._size -= waiting.size
            outcomes[FAILED] += sealed.count(None)
            outcomes[TOO_LARGE] = len(batch) - len(kept) - sealed.count(None)
            for outcome, number in outcomes.items():
                if number:
                    self._count(outcome, number)
            return len(batch)

    async def _stored(self, kept: Sequence[tuple[SealedInteraction, float]]) -> Counter[str]:
        """How many came to which end. Of those that are refused together, each is tried alone."""
        try:
            stored = await self._store.add_interactions([one for one, _ in kept], [age for _, age in kept])
            return Counter({STORED: stored, REPEATED: len(kept) - stored})
        except InvalidRequest as error:  # nothing of a request that was answered is
            if len(kept) == 1:
                logger.error("an interaction was refused by the state store: %s", error)
                return Counter({FAILED: 1})
        return sum([await self._stored([one]) for one in kept], Counter[str]())

    def _sealed(self, batch: Sequence[_Waiting]) -> list[SealedInteraction | None]:
        """In a thread. What cannot be redacted is not kept."""
        return [self._seal(waiting) for waiting in batch]

    def _seal(self, waiting: _Waiting) -> SealedInteraction | None:
        one = waiting.interaction
        try:
            unit = self._sealer.unit(one.tenant, waiting.unit_id)
            whole = replace(one, unit=unit, receipt=dict(self._receipt_form(waiting.receipt)))
            return self._sealer.seal(redacted(whole, self._redactor.redact))
        except Exception:
            logger.exception("the interaction of request %s is not kept", one.request_id)
            return None

    def _say(self, *, away: bool) -> None:
        if away and not self._away:
            logger.warning("the state store is away: interactions wait")
        elif self._away and not away:
            logger.info("interactions are kept again")
        self._away = away
