"""One request, from arrival to receipt.

set aside of the budgets -> admit -> resolve (route, unit) to a variant -> refuse what cannot fit -> take its references
-> retrieve under its own deadline -> assemble tokens, stable first -> slot -> stream from the backend -> receipt, also
for a cancelled or failed request. Then, while a rollout is in its shadow, the request may be copied.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace

from trivet.budgets.budgets import Budgets
from trivet.errors import DeadlineExceeded, InvalidRequest, PromptTooLong
from trivet.metering.account import Account
from trivet.metering.prices import Price
from trivet.metering.stages import Stage
from trivet.pipeline.admission import Admission
from trivet.pipeline.allowed import require_allowed
from trivet.pipeline.answer.answering import Answering, mark_rollout
from trivet.pipeline.answer.form import format_valid
from trivet.pipeline.assembly import Assemblers
from trivet.pipeline.charging.charge import Charge
from trivet.pipeline.charging.worst_case import WorstCase
from trivet.pipeline.response_sink import ResponseSink
from trivet.pipeline.shadow.traffic import ShadowTraffic
from trivet.ports import Backend, ReceiptSink
from trivet.prompts.tokenizer.token_bytes import has_more_bytes
from trivet.routing.table import Resolution, RouteTable
from trivet.types.answer import Answer
from trivet.types.passage import Passage
from trivet.types.receipt import Receipt
from trivet.types.request import GenerateCall
from trivet.types.variant import Route

BYTES_PER_TOKEN = 3  # an estimate for admission alone, made before anything is tokenized
ON_THE_WAY = 0.025  # seconds between a client and its server
TIMEOUT_ROUNDING = 0.01


class GenerationPipeline:
    """Answers requests. All calls come from one event loop."""

    def __init__(
        self,
        *,
        routes: RouteTable,
        admission: Admission,
        answering: Answering,
        shadow: ShadowTraffic,
        prompts: Assemblers,
        backends: Mapping[str, Backend],
        prices: Mapping[str, Price],
        sink: ReceiptSink,
        code_of: Callable[[BaseException], str],
        budgets: Budgets | None = None,
        answered: Callable[[GenerateCall, Answer], None] = lambda *_: None,
    ) -> None:
        """`answered` is told of each request that was answered, with its receipt closed."""
        self._budgets = budgets
        self._answered = answered
        self._worst_case = WorstCase(prompts, backends, prices)
        self._routes = routes
        self._admission = admission
        self._answering = answering
        self._shadow = shadow
        self._prompts = prompts
        self._backends = backends
        self._prices = prices
        self._sink = sink
        self._code_of = code_of

    async def generate(self, call: GenerateCall, sink: ResponseSink) -> Answer:
        """Answer one request; `sink` gets the texts as they come and the receipt in any case.

        Raises a TrivetError that says what failed. Cancelling the task aborts the engine's work at once.
        """
        account, charge = Account(call), Charge(self._budgets, self._worst_case)
        try:
            passages = await self._within_deadline(call, account, charge, sink)
        except BaseException as error:
            self._close(account, charge, sink, self._failure_code(error, call))
            raise
        receipt = self._close(account, charge, sink, "OK")
        answer = Answer(account.told(), passages, receipt)
        self._shadow.offer(call, answer)
        self._answered(call, answer)
        return answer

    def refuse(self, call: GenerateCall, error: BaseException) -> Receipt:
        """The receipt of a request that was refused before all of it was understood."""
        return self._receipt(Account(call), self._failure_code(error, call))

    async def _within_deadline(
        self, call: GenerateCall, account: Account, charge: Charge, sink: ResponseSink
    ) -> tuple[Passage, ...]:
        route = self._routes.route(call.route)
        deadline = call.arrived + route.max_duration
        if call.deadline is not None:
            deadline = min(deadline, call.deadline)
        if deadline <= asyncio.get_running_loop().time():
            raise DeadlineExceeded("the deadline had passed when the request arrived")
        require_allowed(call, route)
        self._require_kind(call, route)
        self._refuse_hopeless(call, route)
        try:
            async with asyncio.timeout_at(deadline):
                await charge.reserve(call, route, account)
                return await self._answer(replace(call, deadline=deadline), account, sink)
        except TimeoutError as error:
            raise DeadlineExceeded(f"the deadline passed after {deadline - call.arrived:.3f} s") from error

    def _require_kind(self, call: GenerateCall, route: Route) -> None:
        """Raise InvalidRequest for a conversation where texts are continued, and the other way round; and for several
        answers where each is chosen out of several."""
        raw = any(self._prompts[variant.backend, variant.prompt].raw for variant in route.variants.values())
        if raw and not call.raw:
            raise InvalidRequest({"messages": f"route {route.name} continues texts, expected a `prompt` instead"})
        if call.n > 1 and any(variant.samples > 1 for variant in route.variants.values()):
            raise InvalidRequest({"n": f"route {route.name} draws several answers itself and gives one, expected 1"})
        if call.raw and not raw:
            raise InvalidRequest({"prompt": f"route {route.name} has no raw prompt, expected `messages` instead"})

    def _refuse_hopeless(self, call: GenerateCall, route: Route) -> None:
        """Raise PromptTooLong for a conversation whose bytes fit no variant's context, before it waits."""
        fitting = max(
            self._prompts[variant.backend, variant.prompt].bytes_within(self._backends[variant.backend].context_tokens)
            for variant in route.variants.values()
        )
        known = fitting > 0  # the context is not, before an engine's first start
        if known and has_more_bytes([message.content for message in call.messages], fitting):
            raise PromptTooLong(
                f"the conversation has more than {fitting:,} bytes, which is the most that can fit into the model's "
                "context"
            )

    async def _answer(self, call: GenerateCall, account: Account, sink: ResponseSink) -> tuple[Passage, ...]:
        estimate = size_of(call) // BYTES_PER_TOKEN
        loop = asyncio.get_running_loop()
        asked = loop.time()
        async with AsyncExitStack() as place:
            entering = self._admission.enter(tokens=estimate, priority=call.priority, tenant=call.tenant)
            try:
                permit = await place.enter_async_context(entering)
            finally:
                account.queue = loop.time() - asked
            account.enter(Stage.RESOLVE, loop.time())
            resolution = self._resolve(call, account)
            passages = await self._answering.answer(call, resolution, permit, account, sink)
            account.enter(Stage.RECEIPT, loop.time())
        account.format_valid = await format_valid(call, resolution.route, resolution.variant, account.told())
        return passages

    def _resolve(self, call: GenerateCall, account: Account) -> Resolution:
        found = self._routes.resolve(call.route, call.unit_id, request_id=call.request_id, forced=call.forced_variant)
        mark_rollout(account, call, found)
        return found

    def _failure_code(self, error: BaseException, call: GenerateCall) -> str:
        code = self._code_of(error)
        cancelled = code == self._code_of(asyncio.CancelledError())
        by_deadline = cancelled and deadline_ended(call, asyncio.get_running_loop().time())
        return self._code_of(DeadlineExceeded("")) if by_deadline else code

    def _close(self, account: Account, charge: Charge, sink: ResponseSink, code: str) -> Receipt:
        receipt = self._receipt(account, code)
        charge.settle(receipt)
        sink.closed(receipt)
        return receipt

    def _receipt(self, account: Account, code: str) -> Receipt:
        price = self._prices.get(account.variant.backend) if account.variant is not None else None
        receipt = account.close(code=code, now=asyncio.get_running_loop().time(), price=price)
        self._sink.record(receipt, account.token_gaps, account.stages)
        return receipt


def deadline_ended(call: GenerateCall, now: float) -> bool:
    """Whether a call that the transport cancelled `now` was cancelled because the client's deadline passed.

    The client's clock started before the request arrived, and gRPC's core rounds a time-out of more than a second up,
    by 1% at most: so the client gives up a little before the deadline that is known here. One that cancels on its own
    within that time cannot be told from it.
    """
    if call.deadline is None:
        return False
    given = call.deadline - call.arrived
    early = min(given / 2, ON_THE_WAY + TIMEOUT_ROUNDING * given)
    return now >= call.deadline - early


def size_of(call: GenerateCall) -> int:
    """Bytes of what the client tells the model; of what is not the conversation, characters."""
    said = [message.content for message in call.messages]
    return call.text_size - sum(map(len, said)) + sum(len(text.encode()) for text in said)
