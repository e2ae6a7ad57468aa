"""Which requests are copied, when, and what becomes of the copies.

A copy starts when its original has ended, if nobody waits and the load is low, and is not kept for later otherwise: it
is dropped, and counted. One that runs is aborted as soon as the load grows, somebody has to wait, the server stops or
the state of the rollout ends. So no real request waits for a copy; what both share is the engine's next step.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from trivet.errors import DeadlineExceeded, Overloaded
from trivet.metering.account import Account
from trivet.metering.prices import Price
from trivet.pipeline.admission import Admission
from trivet.pipeline.answer.answering import Answering, mark_rollout
from trivet.pipeline.answer.form import format_valid
from trivet.pipeline.response_sink import WholeSink
from trivet.pipeline.shadow.copy import Copy, SparePlace, copied, said
from trivet.ports import ReceiptSink
from trivet.rollouts.agreement import pair_of
from trivet.routing.arms import is_shadowed
from trivet.routing.table import Resolution, RouteTable
from trivet.types.answer import Answer
from trivet.types.receipt import Receipt, UnitSource
from trivet.types.request import GenerateCall
from trivet.types.rollout import RouteRollout
from trivet.types.variant import Route, Variant

logger = logging.getLogger(__name__)

FULL, BUSY, NOT_READY = "full", "busy", "not_ready"
GAVE_WAY, STATE_ENDED = "gave_way", "state_ended"
_OUTCOMES = {"OK": "compared", "DEADLINE_EXCEEDED": "timed_out", "UNAVAILABLE": "unavailable"}


class ShadowTraffic:
    """The copies of one gateway. All calls come from one event loop; `close` last."""

    def __init__(
        self,
        *,
        routes: RouteTable,
        admission: Admission,
        answering: Answering,
        is_ready: Callable[[Route, Variant], bool],
        prices: Mapping[str, Price],
        sink: ReceiptSink,
        code_of: Callable[[BaseException], str],
        count: Callable[[str, str], None],
    ) -> None:
        """`count` is told the route and the outcome of each request that was drawn to be copied."""
        self._routes = routes
        self._admission = admission
        self._answering = answering
        self._is_ready = is_ready
        self._prices = prices
        self._sink = sink
        self._code_of = code_of
        self._count = count
        self._copies: list[Copy] = []  # those that were not told to end, the newest last
        self._tasks: set[asyncio.Task[None]] = set()
        admission.on_demand(self._make_room)

    @property
    def running(self) -> int:
        """Copies that were not told to end."""
        return len(self._copies)

    def offer(self, call: GenerateCall, answer: Answer) -> None:
        """A real request was answered: copy it if it is drawn and there is room. Returns at once.

        Never raises into the request: what goes wrong with a copy is not its original's.
        """
        try:
            self._offer(call, answer)
        except Exception:
            logger.exception("a request of route %s could not be copied", call.route)

    def review(self) -> None:
        """Other routes are served: end the copies of rollouts that are in their shadow no more."""
        for copy in list(self._copies):
            route = self._routes.routes.get(copy.resolution.route.name)
            rollout = None if route is None else route.rollout
            if rollout is None or not rollout.shadow_share or rollout.id != copy.real.rollout or rollout.local:
                self._end(copy, STATE_ENDED)

    async def close(self) -> None:
        """End all of them, and wait until their accounts are closed."""
        for copy in list(self._copies):
            self._end(copy, STATE_ENDED)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _offer(self, call: GenerateCall, answer: Answer) -> None:
        route = self._routes.routes.get(call.route)
        rollout = None if route is None else route.rollout
        if route is None or rollout is None or not _is_drawn(rollout, call, answer.receipt):
            return
        candidate = route.variants[rollout.candidate]
        refusal = self._refusal(rollout, route, candidate)
        if refusal:
            self._count(route.name, refusal)
            return
        resolution = Resolution(route, candidate, call.unit_id, UnitSource.REQUEST)
        call = copied(call, asyncio.get_running_loop().time(), route.max_duration)
        copy = Copy(call, resolution, answer.receipt, said(answer.first), self._limit(rollout))
        copy.task = asyncio.create_task(self._run(copy), name="shadow")
        self._copies.append(copy)
        self._tasks.add(copy.task)
        copy.task.add_done_callback(self._tasks.discard)

    def _refusal(self, rollout: RouteRollout, route: Route, candidate: Variant) -> str:
        if sum(copy.resolution.route.name == route.name for copy in self._copies) >= rollout.shadow_running:
            return FULL
        if not self._admission.spare or self._load() + 1 > self._limit(rollout):
            return BUSY
        return "" if self._is_ready(route, candidate) else NOT_READY

    def _limit(self, rollout: RouteRollout) -> float:
        """At least one copy may run where nobody else does."""
        return max(1.0, rollout.shadow_load * self._admission.max_running)

    def _load(self) -> int:
        return self._admission.running + len(self._copies)

    def _make_room(self) -> None:
        """Somebody has taken a place, or has to wait: the newest copies give way."""
        while self._copies and (not self._admission.spare or self._load() > self._copies[-1].limit):
            self._end(self._copies[-1], GAVE_WAY)

    def _end(self, copy: Copy, why: str) -> None:
        self._copies.remove(copy)
        self._count(copy.call.route, why)
        copy.end()

    async def _run(self, copy: Copy) -> None:
        account = Account(copy.call, shadow=True)
        mark_rollout(account, copy.call, copy.resolution)
        text, code, starved = None, "CANCELLED", False
        try:
            text = await self._answered(copy, account)
            code = "OK"
        except Exception as error:
            code, starved = self._code_of(error), isinstance(error, Overloaded)
        finally:
            if copy in self._copies:
                self._copies.remove(copy)
                self._count(copy.call.route, BUSY if starved else _OUTCOMES.get(code, "failed"))
            self._close(copy, account, code, text)

    async def _answered(self, copy: Copy, account: Account) -> str:
        call = copy.call
        try:
            async with asyncio.timeout_at(call.deadline):
                await self._answering.answer(call, copy.resolution, SparePlace(), account, WholeSink())
                told = account.told()
                account.format_valid = await format_valid(call, copy.resolution.route, copy.resolution.variant, told)
                return said(told[0])
        except TimeoutError as error:
            raise DeadlineExceeded("the copy had as long as its original, and was not answered") from error

    def _close(self, copy: Copy, account: Account, code: str, text: str | None) -> None:
        price = self._prices.get(copy.resolution.variant.backend)
        account.shadow_pair = pair_of(copy.real, copy.said, code=code, text=text, format_valid=account.format_valid)
        receipt = account.close(code=code, now=asyncio.get_running_loop().time(), price=price)
        self._sink.record(receipt, account.token_gaps)


def _is_drawn(rollout: RouteRollout, call: GenerateCall, receipt: Receipt) -> bool:
    """Of stable's answers to units that are neither held out nor a tester's choice. Without a unit nothing counts."""
    return bool(
        rollout.shadow_share
        and not rollout.local
        and receipt.unit_source is UnitSource.REQUEST
        and (receipt.rollout, receipt.rollout_step, receipt.variant) == (rollout.id, rollout.step, rollout.stable)
        and is_shadowed(rollout.salt, call.unit_id, rollout.shadow_share)
    )
