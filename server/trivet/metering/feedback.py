"""What people say of answers: joined to the receipt of the request, and durable before it is acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol
from weakref import WeakValueDictionary

from trivet.errors import NotFound, Overloaded
from trivet.excerpt import quote
from trivet.fairness.fair_semaphore import FairSemaphore
from trivet.metering.metrics import Metrics
from trivet.metering.receipt_log import ReceiptLog
from trivet.types.receipt import Receipt
from trivet.types.rollout_state import Feedback

MAX_RUNNING = 4
MAX_WAITING = 256
_RETRY_AFTER = 1.0


class FeedbackStore(Protocol):
    """Where feedback is kept."""

    async def add_feedback(self, feedback: Feedback) -> bool:
        """Record it durably; whether it says something new. Raises StateUnavailable and InvalidRequest."""
        ...


class FeedbackIntake:
    """Takes feedback on requests that this server has answered. All calls come from one event loop.

    At most `MAX_RUNNING` are recorded at once, of one tenant half of them beside others; at most `MAX_WAITING` more
    wait, tenants in turn. What is said of one request is recorded in the order in which it came.
    """

    def __init__(
        self,
        receipts: ReceiptLog,
        store: FeedbackStore,
        metrics: Metrics,
        on_feedback: Callable[[Receipt, float | None], None],
    ) -> None:
        """`on_feedback` is told the receipt and the score of what was recorded, also when it was the same again: the
        server may have stopped in between the first time."""
        self._receipts = receipts
        self._store = store
        self._metrics = metrics
        self._on_feedback = on_feedback
        self._slots = FairSemaphore(MAX_RUNNING, MAX_RUNNING // 2)
        self._searches = FairSemaphore(1)  # of the log: each reads megabytes of it
        self._by_request: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def submit(self, said: Feedback) -> None:
        """Durable when this returns. A call that was cancelled may have been recorded: the same again does no harm.

        Raises NotFound if the tenant has no receipt of the request; Overloaded; StateUnavailable.
        """
        outcome = "failed"
        try:
            self._make_room(said.tenant)
            async with self._slots.slot(said.tenant), self._turn(said):
                receipt = await self._receipt(said.tenant, said.request_id)
                if receipt.use:
                    raise NotFound(f"request {quote(said.request_id)} is no answer: it asked a model of an index")
                outcome = "recorded" if await self._store.add_feedback(said) else "repeated"
                self._on_feedback(receipt, said.score)
        except NotFound:
            outcome = "unknown"
            raise
        finally:
            self._metrics.feedback.labels(outcome).inc()

    def _turn(self, said: Feedback) -> asyncio.Lock:
        return self._by_request.setdefault((said.tenant, said.request_id), asyncio.Lock())

    def _make_room(self, tenant: str) -> None:
        refusal = Overloaded("feedback calls", MAX_WAITING, _RETRY_AFTER)
        if self._slots.waiting >= MAX_WAITING and not self._slots.give_way(tenant, refusal):
            raise refusal

    async def _receipt(self, tenant: str, request_id: str) -> Receipt:
        receipt = self._receipts.find(tenant, request_id)
        if receipt is None:
            async with self._searches.slot(tenant):
                receipt = await asyncio.to_thread(self._receipts.search, tenant, request_id)
        if receipt is None:
            raise NotFound(f"no receipt of request {quote(request_id)}: this server did not answer it, or long ago")
        return receipt
