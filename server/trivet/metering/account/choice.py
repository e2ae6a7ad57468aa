"""What the engine gave for one of a request's answers."""

from __future__ import annotations

from dataclasses import dataclass, field

from trivet.types.answer import Choice
from trivet.types.generation import (
    Chunk,
    EngineTimes,
    FinishReason,
    MachineCharge,
    RequestedCall,
    TokenLogprob,
)


@dataclass(slots=True)
class ChoiceAccount:
    """Times are seconds of the event loop's clock; None until it happened."""

    node: str = ""  # that it went to, of a fleet
    first_token: float | None = None
    last_engine_at: float | None = None
    engine: EngineTimes | None = None
    engine_ended: bool = False  # it has given all that it had, read or not
    machine: MachineCharge | None = None
    input_tokens: int | None = None
    cached_tokens: int | None = None
    expected_cached_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    estimated: bool = False  # the counts of tokens, so far
    parser_gave_up: bool = False
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    tool_calls: tuple[RequestedCall, ...] = ()
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish: FinishReason | None = None
    token_gaps: list[tuple[float, int]] = field(default_factory=list)

    def decline(self, text: str) -> None:
        """It is a text of the configuration, made without the engine: no token goes in or comes out."""
        self.text.append(text)
        self.finish = FinishReason.STOP
        self.input_tokens = self.cached_tokens = self.output_tokens = 0

    def add_unread(self, chunk: Chunk) -> None:
        """Count what the engine had handed over when the reader left."""
        self.output_tokens = (self.output_tokens or 0) + chunk.tokens
        if self.first_token is not None:  # else nobody saw a first one, whose time the engine's are parts of
            self._take_times(chunk)
        self._count_input(chunk)

    def add(self, chunk: Chunk, now: float) -> None:
        """Count one chunk that the engine handed over."""
        if chunk.tokens:
            if self.first_token is None:
                self.first_token = now
            elif self.last_engine_at is not None:
                self.token_gaps.append((self._gap(chunk, self.last_engine_at), chunk.tokens))
            self.last_engine_at = chunk.engine_at
            self.output_tokens = (self.output_tokens or 0) + chunk.tokens
        self._take_times(chunk)
        self._count_input(chunk)
        self.estimated = chunk.estimated
        if chunk.answer_tokens is not None:
            self.output_tokens = chunk.answer_tokens
        if chunk.text:
            self.text.append(chunk.text)
        if chunk.reasoning:
            self.reasoning.append(chunk.reasoning)
        self.logprobs += chunk.logprobs
        if chunk.finish is not None:
            self.finish = chunk.finish
            self.reasoning_tokens, self.tool_calls = chunk.reasoning_tokens, chunk.tool_calls
            self.parser_gave_up = chunk.parser_gave_up

    def charge_time(self, charge: MachineCharge) -> None:
        """What the engine's machine took for it costs."""
        self.machine = charge

    def told(self) -> Choice:
        """The answer, once it has ended."""
        assert self.finish is not None
        text, reasoning = "".join(self.text), "".join(self.reasoning)
        return Choice(text, self.finish, reasoning, self.tool_calls, tuple(self.logprobs))

    def engine_times(self, until: float) -> tuple[float, float, float] | None:
        """Queue, prefill and decode, as the engine says; a decode that was cut short lasted until it was cut.

        `until`: seconds from the hand-over to then.
        """
        if self.engine is None:
            return None
        queue, prefill, decode = self.engine.queue, self.engine.prefill, self.engine.decode
        if not self.engine_ended:
            decode = max(decode, until - queue - prefill)
        return queue, prefill, decode

    def _take_times(self, chunk: Chunk) -> None:
        self.engine = chunk.times or self.engine
        self.engine_ended = chunk.finish is not None

    def _gap(self, chunk: Chunk, last_engine_at: float) -> float:
        """Seconds since the token before this chunk's: by the engine's clock, else as the event loop saw them come."""
        if chunk.times is not None and self.engine is not None:
            return max(0.0, chunk.times.decode - self.engine.decode)
        return max(0.0, chunk.engine_at - last_engine_at)

    def _count_input(self, chunk: Chunk) -> None:
        """Known, and charged, once the engine has computed it: its first token says so."""
        if chunk.input_tokens is not None:
            self.input_tokens = chunk.input_tokens
        if chunk.cached_tokens is not None:
            self.cached_tokens = chunk.cached_tokens
