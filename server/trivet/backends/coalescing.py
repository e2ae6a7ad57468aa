"""Output coalescing: fewer and larger messages, since each costs far more than a token does."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from trivet.backends.answer_parser import AnswerParser
from trivet.errors import GenerationFailed
from trivet.types.generation import Chunk, EngineTimes, FinishReason

# Any other is no end of an answer: vLLM says "error", "abort" and "repetition" too, and may say more some day.
FINISH_REASONS = {"stop": FinishReason.STOP, "length": FinishReason.LENGTH}


class OnOutput(Protocol):
    """Told of each output: see `ports.MachineMeter.output`."""

    def __call__(self, tokens: int, computed: int | None, *, last: bool) -> None: ...


class Coalescer:
    """Where vLLM's output handler puts one request's outputs and where its reader gets chunks.

    Takes the place of vLLM's `RequestOutputCollector` (of which the handler uses `put` alone). The first token is due
    at once; later ones when `tokens` of them wait, or `seconds` after the last chunk. What a reader does not fetch is
    merged, so a stalled one holds at most its answer. Everything runs on one event loop.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        tokens: int,
        seconds: float,
        input_tokens: int,
        parser: AnswerParser | None = None,
        on_output: OnOutput | None = None,
    ) -> None:
        """`on_output` is told of each output: its tokens, with the first also how many of the prompt's were computed,
        and whether it is the last."""
        self.finished = False  # nothing is left to fetch
        self.ended = False  # in the engine, where nothing is left to abort
        self.waited = 0.0  # seconds, before the engine was given it
        self._loop = loop
        self._limit = tokens
        self._seconds = seconds
        self._input_tokens: int | None = input_tokens
        self._not_computed: int | None = input_tokens  # until the first output tells how many were cached
        self._on_output = on_output
        self._cached_tokens: int | None = None
        self._parser = parser
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._tokens = 0
        self._engine_at = 0.0
        self._stats: Any = None  # vLLM's `RequestStateStats`, which it keeps up to date
        self._finish: FinishReason | None = None
        self._error: Exception | None = None
        self._delivered_at = float("-inf")
        self._due = False
        self._timer: asyncio.TimerHandle | None = None
        self._waiter: asyncio.Future[None] | None = None

    def put(self, output: Any) -> None:
        """Take a vLLM `RequestOutput` with a delta, or the exception that ends the request."""
        if isinstance(output, Exception):
            self._error = self._error or output
            self._wake()
            return
        completion = output.outputs[0]
        now = self._loop.time()
        text, thought = completion.text, ""
        if self._parser is not None:
            text, thought = self._parser.feed(text, completion.token_ids, completion.finish_reason is not None)
        self._texts.append(text)
        self._thoughts.append(thought)
        self._tokens += len(completion.token_ids)
        self._engine_at = now
        self._cached_tokens = output.num_cached_tokens
        self._stats = output.metrics
        self._tell(completion, output.num_cached_tokens)
        if completion.finish_reason in FINISH_REASONS:
            self._finish = FINISH_REASONS[completion.finish_reason]
            self.ended = True
            self._wake()
        elif completion.finish_reason is not None:
            self.ended = True
            self.put(GenerationFailed(f"the engine gave the answer up ({completion.finish_reason})"))
        elif self._tokens >= self._limit or now - self._delivered_at >= self._seconds:
            self._wake()
        elif self._timer is None and not self._due:
            self._timer = self._loop.call_at(self._delivered_at + self._seconds, self._wake)

    async def get(self) -> Chunk:
        """The next chunk; raises the exception that was put once all tokens before it are fetched."""
        if not self._due:
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._error is not None and not self._tokens:
            self.finished = True
            raise self._error
        return self._take()

    def unread(self) -> Chunk | None:
        """What the engine handed over and nobody fetched, None if nothing; for who leaves."""
        return self._take() if self._tokens else None

    def _tell(self, completion: Any, cached: int) -> None:
        if self._on_output is None:
            return
        computed = None
        if completion.token_ids and self._not_computed is not None:
            computed, self._not_computed = self._not_computed - cached, None
        self._on_output(len(completion.token_ids), computed, last=completion.finish_reason is not None)

    def _wake(self) -> None:
        self._due = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _take(self) -> Chunk:
        first = self._input_tokens is not None and self._tokens > 0  # before it the prompt may not be computed
        ended = self._parser if self._finish is not None else None
        chunk = Chunk(
            text="".join(self._texts),
            tokens=self._tokens,
            engine_at=self._engine_at,
            finish=self._finish,
            input_tokens=self._input_tokens if first else None,
            cached_tokens=self._cached_tokens if first else None,
            times=self._times(),
            reasoning="".join(self._thoughts),
            reasoning_tokens=None if ended is None else ended.reasoning_tokens,
            tool_calls=() if ended is None else ended.calls,
        )
        self.finished = self._finish is not None
        if first:
            self._input_tokens = None
        self._texts.clear()
        self._thoughts.clear()
        self._tokens = 0
        self._delivered_at = self._loop.time()
        self._due = self._error is not None
        return chunk

    def _times(self) -> EngineTimes | None:
        """None where the engine counts nothing, and before its first token."""
        stats = self._stats
        if stats is None or not stats.first_token_ts:
            return None
        return EngineTimes(
            queue=self.waited + max(0.0, stats.scheduled_ts - stats.queued_ts),
            prefill=max(0.0, stats.first_token_ts - stats.scheduled_ts),
            decode=max(0.0, stats.last_token_ts - stats.first_token_ts),
            preemptions=stats.num_preemptions,
        )
