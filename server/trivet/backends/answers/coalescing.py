"""Output coalescing: fewer and larger messages, since each costs far more than a token does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from trivet.backends.answers.pacer import Pacer
from trivet.backends.answers.parser import AnswerParser, Parsed
from trivet.backends.answers.reader import AnswerReader
from trivet.errors import GenerationFailed
from trivet.types.generation import CallDelta, Chunk, EngineTimes, FinishReason, Logprob, TokenLogprob
from trivet.types.variant import StreamPace

LEAST_LOGPROB = -9999.0  # for what cannot be: JSON has no infinity
# Any other is no end of an answer: vLLM says "error", "abort" and "repetition" too, and may say more some day.
FINISH_REASONS = {"stop": FinishReason.STOP, "length": FinishReason.LENGTH}


class OnOutput(Protocol):
    """Told of each output: see `ports.MachineMeter.output`."""

    def __call__(self, tokens: int, computed: int | None, *, last: bool) -> None: ...


class Text(Protocol):
    """What knows the tokens that no text has been made of."""

    def text(self) -> str:
        """Of the tokens since the last time; raises GenerationFailed."""
        ...


class Coalescer:
    """Where one request's outputs are put and where its reader gets chunks.

    The first token is due at once; later ones when `pace.max_tokens` of them wait, or when `pacer` says so. What a
    reader does not fetch is merged, so a stalled one holds at most its answer. Everything runs on one event loop.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pacer: Pacer,
        pace: StreamPace,
        input_tokens: int,
        parser: AnswerParser | None = None,
        on_output: OnOutput | None = None,
        top_logprobs: int | None = None,
    ) -> None:
        """`on_output` is told of each output: its tokens, with the first also how many of the prompt's were computed,
        and whether it is the last."""
        self.finished = False  # nothing is left to fetch
        self.ended = False  # in the engine, where nothing is left to abort
        self.waited = 0.0  # seconds, before the engine was given it
        self.handed_over: float | None = None  # when the engine's process was given it, by the monotonic clock
        self.delivered_at = float("-inf")
        self._loop = loop
        self._pacer = pacer
        self._limit = pace.max_tokens
        self._longest = pace.max_ms / 1000
        self._input_tokens: int | None = input_tokens
        self._not_computed: int | None = input_tokens  # until the first output tells how many were cached
        self._on_output = on_output
        self._top_logprobs = top_logprobs
        self._cached_tokens: int | None = None
        self._parser = parser
        self._reader = None if parser is None else AnswerReader(parser, loop, self._read)
        self._source: Text | None = None
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._calls: list[CallDelta] = []
        self._logprobs: list[TokenLogprob] = []
        self._tokens = 0
        self._engine_at = 0.0
        self._queued_at: float | None = None  # by the engine's clock; decided with its first token
        self._stats: Any = None  # vLLM's `RequestStateStats`, which is kept up to date
        self._last: FinishReason | None = None  # how it ended in the engine; maybe not all of it is taken apart yet
        self._finish: FinishReason | None = None
        self._error: Exception | None = None
        self._due = False
        self._waits = False  # for the pacer
        self._waiter: asyncio.Future[None] | None = None

    @property
    def looks_at_tokens(self) -> bool:
        """Whether it needs each token's text as it comes."""
        return self._parser is not None or self._top_logprobs is not None

    def read_from(self, source: Text) -> None:
        """From now on `source` makes the text of tokens that are added without one."""
        self._source = source

    def put(self, output: Any) -> None:
        """Take a vLLM `RequestOutput` with a delta, or the exception that ends the request."""
        if isinstance(output, Exception):
            self._error = self._error or output
            self.wake()
            return
        one = output.outputs[0]
        now = self._loop.time()
        logprobs = getattr(one, "logprobs", None)
        self.add(one.token_ids, now, output.num_cached_tokens, output.metrics, one.finish_reason, one.text, logprobs)

    def add(
        self,
        ids: Sequence[int],
        now: float,
        cached: int,
        stats: Any,
        finish: str | None,
        text: str | None = None,
        logprobs: Any = None,
    ) -> None:
        """Take some tokens: vLLM's `RequestStateStats`, its word for an end, and its log probabilities if it has any.
        Without `text`, that is made when a chunk is due. `now`: the event loop's time."""
        if self._top_logprobs is not None:
            self._logprobs += logprobs_of(ids, logprobs, self._top_logprobs)
        self._tokens += len(ids)
        self._engine_at = now
        self._cached_tokens = cached
        self._stats = stats
        if self._on_output is not None:
            self._tell(self._on_output, len(ids), cached, finish is not None)
        if finish is not None:
            self.ended = True
            self._last = FINISH_REASONS.get(finish)
        if self._reader is not None:
            self._reader.feed(text or "", ids, self.ended)
        elif text is not None:
            self._texts.append(text)
        if finish is not None:
            self._end(finish)
        elif self._due:
            pass
        elif self._tokens >= self._limit:
            self.wake()
        elif not self._waits:
            wait = self._pacer.wait(self._longest)
            if now - self.delivered_at >= wait:
                self.wake()
            else:
                self._waits = True
                self._pacer.later(self, self.delivered_at + wait)

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

    def wake(self) -> None:
        """What waits is due."""
        self._due = True
        if self._waits:
            self._waits = False
            self._pacer.forget(self)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _end(self, finish: str) -> None:
        """It has ended in the engine. What a parser has not taken apart yet comes with its last piece (`_read`)."""
        if self._last is None:
            self.put(GenerationFailed(f"the engine gave the answer up ({finish})"))
        elif self._reader is None:
            self._finish = self._last
            self.wake()

    def _read(self, parsed: Parsed, last: bool) -> None:
        """What there was in a piece of the answer. The answer has ended once its last piece is taken apart."""
        self._texts.append(parsed.text)
        self._thoughts.append(parsed.thought)
        self._calls += parsed.calls
        if last and self._last is not None:
            self._finish = self._last
            self.wake()

    def _tell(self, on_output: OnOutput, tokens: int, cached: int, last: bool) -> None:
        computed = None
        if tokens and self._not_computed is not None:
            computed, self._not_computed = self._not_computed - cached, None
        on_output(tokens, computed, last=last)

    def _text(self) -> str:
        if self._source is not None and self._tokens:
            try:
                self._texts.append(self._source.text())
            except GenerationFailed as problem:
                self._error = self._error or problem
                self._finish = None
        return "".join(self._texts)

    def _take(self) -> Chunk:
        first = self._input_tokens is not None and self._tokens > 0  # before it the prompt may not be computed
        text = self._text()
        ended = self._parser if self._finish is not None else None
        chunk = Chunk(
            text=text,
            tokens=self._tokens,
            engine_at=self._engine_at,
            finish=self._finish,
            input_tokens=self._input_tokens if first else None,
            cached_tokens=self._cached_tokens if first else None,
            times=self._times(),
            reasoning="".join(self._thoughts),
            reasoning_tokens=None if ended is None else ended.reasoning_tokens,
            tool_calls=() if ended is None else ended.calls,
            call_deltas=joined(self._calls),
            parser_gave_up=ended is not None and ended.given_up,
            logprobs=tuple(self._logprobs),
        )
        self.finished = self._finish is not None
        if first:
            self._input_tokens = None
        self._texts.clear()
        self._thoughts.clear()
        self._calls.clear()
        self._logprobs.clear()
        self._tokens = 0
        self.delivered_at = self._loop.time()
        self._due = self._error is not None
        return chunk

    def _times(self) -> EngineTimes | None:
        """None where the engine counts nothing, and before its first token."""
        stats = self._stats
        if stats is None or not stats.first_token_ts:
            return None
        if self._queued_at is None:
            self._queued_at = self._queued_since(stats.queued_ts)
        return EngineTimes(
            queue=self.waited + max(0.0, stats.scheduled_ts - self._queued_at),
            prefill=max(0.0, stats.first_token_ts - stats.scheduled_ts),
            decode=max(0.0, stats.last_token_ts - stats.first_token_ts),
            preemptions=stats.num_preemptions,
        )

    def _queued_since(self, queued: float) -> float:
        """From the hand-over on: a request waits until the engine's process has ended its step, and only then counts it
        as queued (`queued`). Clocks of two machines have nothing to do with each other."""
        handed = self.handed_over
        return queued if handed is None or not handed <= queued <= time.monotonic() else handed


def joined(deltas: Iterable[CallDelta]) -> tuple[CallDelta, ...]:
    """The same in as few as can be: one for each call."""
    found: dict[int, list[CallDelta]] = {}
    for delta in deltas:
        found.setdefault(delta.index, []).append(delta)
    return tuple(replace(parts[0], arguments="".join(part.arguments for part in parts)) for parts in found.values())


def logprobs_of(ids: Sequence[int], positions: Any, most: int) -> list[TokenLogprob]:
    """Of vLLM's, by position: one for each of the tokens, with the `most` likely ones in its place.

    vLLM has the written token beside these, whose ranks are 1 to `most`; it may be one of them.
    """
    found = []
    for token, position in zip(ids, positions or (), strict=False):
        likely = sorted((one for one in position.values() if 1 <= (one.rank or 0) <= most), key=lambda one: one.rank)
        found.append(TokenLogprob(_logprob(position[token]), tuple(map(_logprob, likely[:most]))))
    return found


def _logprob(found: Any) -> Logprob:
    return Logprob(found.decoded_token or "", max(found.logprob, LEAST_LOGPROB))
