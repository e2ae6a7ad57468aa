"""Self-consistency (Wang et al., 2022, https://arxiv.org/abs/2203.11171): of several answers, drawn at once, the one is
given whose value most of them have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from trivet.pipeline.reasoning.votes import majority, value_of
from trivet.types.generation import BackendRequest, Chunk, FinishReason, MachineCharge, TokenLogprob
from trivet.types.variant import SelfConsistency

Generate = Callable[[BackendRequest], AsyncGenerator[Chunk, None]]
_SEEDS = 1 << 63


@dataclass(slots=True)
class _Sample:
    """What came of one answer so far."""

    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish: FinishReason | None = None
    input_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    parser_gave_up: bool = False

    def add(self, chunk: Chunk) -> None:
        """Some more of it."""
        self.text.append(chunk.text)
        self.reasoning.append(chunk.reasoning)
        self.logprobs += chunk.logprobs
        self.count(chunk)
        if chunk.finish is not None:
            self.finish, self.reasoning_tokens = chunk.finish, chunk.reasoning_tokens
            self.parser_gave_up = chunk.parser_gave_up

    def count(self, chunk: Chunk) -> None:
        """The prompt's tokens, which are of the request as a whole."""
        if chunk.input_tokens is not None:
            self.input_tokens = chunk.input_tokens
        if chunk.cached_tokens is not None:
            self.cached_tokens = chunk.cached_tokens


class Samples:
    """The answers to one request. All tokens of all of them are counted as the request's own, and all of their time."""

    def __init__(
        self, generate: Generate, request: BackendRequest, settings: SelfConsistency, agreed: Callable[[float], None]
    ) -> None:
        """`agreed` is told what share of the answers has the value that is given."""
        self._generate = generate
        self._request = request
        self._settings = settings
        self._agreed = agreed
        self._samples = [_Sample() for _ in range(settings.samples)]
        self._untold = 0  # output tokens that no chunk has told yet
        self._last_at = 0.0
        self._charge = MachineCharge(0, 0)

    async def run(self) -> AsyncGenerator[Chunk, None]:
        """A chunk without text when the first token is there, and one with the whole answer.

        Closed before its end, it stops all of them, and tells `on_unread` what they had by then. Raises what one of
        them raises.
        """
        first = asyncio.Event()
        tasks = [asyncio.create_task(self._read(number, first)) for number in range(len(self._samples))]
        everything = asyncio.gather(*tasks)
        everything.add_done_callback(lambda _: first.set())
        try:
            await first.wait()
            if not everything.done():
                yield self._counts()
            await everything
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, everything, return_exceptions=True)
            self._request.on_unread(self._counts())
            raise
        yield self._answer()

    async def _read(self, number: int, first: asyncio.Event) -> None:
        sample = self._samples[number]

        def unread(chunk: Chunk) -> None:
            self._untold += chunk.tokens
            sample.count(chunk)

        request = replace(
            self._request,
            request_id=f"{self._request.request_id}/{number + 1}",
            sampling=replace(self._request.sampling, seed=self._seed(number)),
            on_unread=unread,
            on_charge=self._add_charge,
        )
        async with aclosing(self._generate(request)) as chunks:
            async for chunk in chunks:
                sample.add(chunk)
                self._untold += chunk.tokens
                self._last_at = chunk.engine_at
                if chunk.tokens:
                    first.set()

    def _seed(self, number: int) -> int | None:
        seed = self._request.sampling.seed
        return None if seed is None else (seed + number) % _SEEDS

    def _add_charge(self, charge: MachineCharge) -> None:
        before = self._charge
        self._charge = replace(charge, prefill=before.prefill + charge.prefill, decode=before.decode + charge.decode)
        self._request.on_charge(self._charge)

    def _counts(self) -> Chunk:
        """The tokens that no chunk has told yet."""
        untold, self._untold = self._untold, 0
        given = [one.input_tokens for one in self._samples if one.input_tokens is not None]
        cached = [one.cached_tokens for one in self._samples if one.cached_tokens is not None]
        return Chunk(
            text="",
            tokens=untold,
            engine_at=self._last_at,
            input_tokens=sum(given) if given else None,
            cached_tokens=sum(cached) if cached else None,
        )

    def _answer(self) -> Chunk:
        texts = ["".join(sample.text) for sample in self._samples]
        place, agreement = majority([value_of(text, self._settings) for text in texts])
        self._agreed(agreement)
        chosen = self._samples[place]
        thought = [one.reasoning_tokens for one in self._samples if one.reasoning_tokens is not None]
        return replace(
            self._counts(),
            text=texts[place],
            finish=chosen.finish,
            reasoning="".join(chosen.reasoning),
            reasoning_tokens=sum(thought) if thought else None,
            logprobs=tuple(chosen.logprobs),
            parser_gave_up=chosen.parser_gave_up,
        )
