"""Vectors and scores of texts that belong to no document, by the models of the indexes.

Each has a receipt, whose `use` says that it is no answer's: `embed` or `rerank`, of an index and of no route. They
count against the same limits as answers, and in metrics of their own, by index.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from trivet.budgets.budgets import Budgets
from trivet.budgets.reservation import Reservation
from trivet.errors import DeadlineExceeded, InvalidRequest, NotFound
from trivet.excerpt import quote
from trivet.metering.metrics import Metrics
from trivet.metering.prices import NANO, IndexPrice
from trivet.metering.receipt_log import ReceiptLog
from trivet.pipeline.admission import Admission
from trivet.ports import IndexModels
from trivet.routing.table import RouteTable
from trivet.types.answer import EmbedCall, Embedded, RerankCall, Reranked
from trivet.types.budget import Use
from trivet.types.receipt import Cost, Receipt
from trivet.types.request import Caller, KeyRole

MAX_DURATION = 30.0  # seconds, where the client does not allow less
_Call = TypeVar("_Call", EmbedCall, RerankCall)
_Result = TypeVar("_Result", Embedded, Reranked)
Told = Callable[[Receipt], None]
NO_PRICE = IndexPrice()


class IndexModelPipeline:
    """All calls come from one event loop."""

    def __init__(
        self,
        routes: RouteTable,
        models: IndexModels,
        admission: Admission,
        metrics: Metrics,
        code_of: Callable[[BaseException], str],
        receipts: ReceiptLog,
        prices: Mapping[str, IndexPrice],
        budgets: Budgets | None = None,
    ) -> None:
        """`prices` by index; one without has no cost."""
        self._routes = routes
        self._models = models
        self._admission = admission
        self._metrics = metrics
        self._code_of = code_of
        self._receipts = receipts
        self._prices = prices
        self._budgets = budgets

    async def embed(self, call: EmbedCall, told: Told) -> Embedded:
        """A vector for each text, in their order. `told` gets the receipt in any case, but for an index that is not
        there for the caller.

        Raises NotFound for an index that none of the caller's routes searches, InvalidRequest naming the texts that the
        model does not see whole, RetrievalUnavailable, DeadlineExceeded, and what limits and admission raise.
        """
        return await self._run(call, "embed", told, lambda: self._embed(call))

    async def rerank(self, call: RerankCall, told: Told) -> Reranked:
        """A score for each text, in their order. The same holds, and it raises FailedPrecondition for an index without
        a cross-encoder."""
        return await self._run(
            call, "rerank", told, lambda: self._models.score(call.index, call.query, call.texts, call.caller.tenant)
        )

    async def _embed(self, call: EmbedCall) -> Embedded:
        length = self._models.dimension(call.index)
        if call.dimensions not in (None, length):
            raise InvalidRequest({"dimensions": f"expected {length:,}, the length of this index's vectors, or none"})
        return await self._models.embed(call.index, call.texts, call.caller.tenant, call.as_queries)

    async def _run(self, call: _Call, use: str, told: Told, work: Callable[[], Awaitable[_Result]]) -> _Result:
        self._require(call.caller, call.index)
        deadline = call.arrived + MAX_DURATION
        if call.deadline is not None:
            deadline = min(deadline, call.deadline)
        reservation, tokens, code = Reservation(), None, "OK"
        try:
            async with asyncio.timeout_at(deadline):
                reservation = await self._reserve(call, use)
                async with self._admission.enter(tokens=0, tenant=call.caller.tenant):
                    found = await work()
                    tokens = found.tokens
                    return found
        except TimeoutError as late:
            error = DeadlineExceeded(f"the deadline passed after {deadline - call.arrived:.3f} s")
            code = self._code_of(error)
            raise error from late
        except BaseException as error:
            code = self._code_of(error)
            raise
        finally:
            receipt = self._receipt(call, use, code, tokens)
            if self._budgets is not None:
                used = Use() if tokens is None else Use(1, tokens, receipt.cost.total or 0)
                self._budgets.settle(reservation, used)
            self._record(receipt)
            told(receipt)

    async def _reserve(self, call: EmbedCall | RerankCall, use: str) -> Reservation:
        """Set aside the most that it may use: a token of text has at least one byte."""
        caller, most = call.caller, call.most_tokens
        if self._budgets is None or not self._budgets.limited(caller.tenant, caller.key):
            return Reservation()
        return await self._budgets.reserve(
            caller.tenant, caller.key, Use(1, most, self._cost(call, use, most).total or 0)
        )

    def _cost(self, call: EmbedCall | RerankCall, use: str, tokens: int) -> Cost:
        return self._prices.get(call.index, NO_PRICE).cost(use, tokens)

    def _receipt(self, call: EmbedCall | RerankCall, use: str, code: str, tokens: int | None) -> Receipt:
        total = asyncio.get_running_loop().time() - call.arrived
        return Receipt(
            request_id=call.request_id,
            tenant=call.caller.tenant,
            route="",
            created_at=datetime.now(UTC) - timedelta(seconds=total),
            code=code,
            index=call.index,
            use=use,
            input_tokens=tokens,
            total_ms=round(total * 1000, 3),
            cost=Cost() if tokens is None else self._cost(call, use, tokens),
        )

    def _record(self, receipt: Receipt) -> None:
        """Count and log it, so that the log's sum equals the metrics."""
        metrics, labels = self._metrics, (receipt.index, receipt.use)
        metrics.index_model_requests.labels(*labels, receipt.code).inc()
        if receipt.input_tokens is not None:
            metrics.index_model_tokens.labels(*labels).inc(receipt.input_tokens)
        if receipt.cost.total is not None:
            metrics.index_model_cost.labels(*labels).inc(receipt.cost.total / NANO)
        self._receipts.append(receipt)

    def _require(self, caller: Caller, index: str) -> None:
        """An index is used through the routes that search it; operators, whose keys are for all routes, have all."""
        if caller.role is KeyRole.OPERATOR and caller.routes is None and index in self._models.indexes:
            return
        if not any(index in route.indexes for name, route in self._routes.routes.items() if caller.may_call(name)):
            raise NotFound(f"no index {quote(index)} that this key's routes search")
