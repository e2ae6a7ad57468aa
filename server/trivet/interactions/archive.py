"""Reading what was kept, and erasing it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from trivet.errors import InvalidRequest
from trivet.interactions.redaction import Redactor
from trivet.interactions.sealing import Sealer
from trivet.interactions.store import MOST_ERASED, InteractionStore
from trivet.types.interaction import Interaction, InteractionCount, InteractionFilter, StoredInteraction
from trivet.types.rollout_state import Feedback

_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class KeptInteraction:
    """An interaction in clear, when it was stored, and what was said of it."""

    number: int
    at: float
    interaction: Interaction
    feedback: Feedback | None


class InteractionArchive:
    """What is in the store, of one tenant at a time. All calls come from one event loop."""

    def __init__(
        self, store: InteractionStore, redactor: Redactor, sealer: Sealer, flush: Callable[[], Awaitable[None]]
    ) -> None:
        """`flush` hands over what waits in this gateway."""
        self._store = store
        self._redactor = redactor
        self._sealer = sealer
        self._flush = flush

    async def read(self, wanted: InteractionFilter, most: int = 0) -> AsyncGenerator[KeptInteraction, None]:
        """All of them in the order in which they were stored, at most `most` if it is not 0.

        What people said is redacted as the rest was. Raises StateUnavailable, and FailedPrecondition for one that
        cannot be opened.
        """
        await self._flush()
        after, left = 0, most
        while page := await self._store.interactions(wanted, after, min(left, _AT_ONCE) if most else _AT_ONCE):
            for stored in page:  # each may have a megabyte of text, which is a thread's work
                yield await asyncio.to_thread(self._opened, stored)
            after, left = page[-1].number, left - len(page)
            if most and left <= 0:
                return

    async def count(self, wanted: InteractionFilter) -> Sequence[InteractionCount]:
        """How many there are, by route and variant; raises StateUnavailable."""
        await self._flush()
        return await self._store.count_interactions(wanted)

    async def erase(
        self, tenant: str, units: Sequence[str], request_ids: Sequence[str], *, everything: bool = False
    ) -> int:
        """Remove those of these units (by their ids) and requests, or all of a tenant, with what was said of them.

        How many there were. What other gateways still hold of them is not stored any more. Raises InvalidRequest if
        nothing is named, or everything and something, or more than MOST_ERASED units or requests; StateUnavailable.
        """
        if everything == bool(units or request_ids):
            raise InvalidRequest({"all": "expected units or request ids, or all, and not both"})
        if len(units) > MOST_ERASED:
            raise InvalidRequest({"unit_ids": f"expected at most {MOST_ERASED:,}, got {len(units):,}"})
        digests = [digest for unit in units for digest in self._sealer.units(tenant, unit)]  # several of each unit
        erased = 0
        for start in range(0, max(len(digests), 1), MOST_ERASED):
            part, requests = digests[start : start + MOST_ERASED], () if start else request_ids
            while some := await self._store.erase_interactions(tenant, part, requests, everything=everything):
                erased += some
        return erased

    def _opened(self, stored: StoredInteraction) -> KeptInteraction:
        interaction = self._sealer.open(stored.interaction)
        return KeptInteraction(stored.number, stored.at, interaction, self._said(stored.feedback))

    def _said(self, feedback: Feedback | None) -> Feedback | None:
        if feedback is None:
            return None
        redact = self._redactor.redact
        return replace(feedback, corrected_text=redact(feedback.corrected_text), comment=redact(feedback.comment))
