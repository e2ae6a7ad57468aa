"""An endpoint that speaks OpenAI's API as a backend: asked, watched, never changed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

import httpx

from trivet.backends.openai.answer import Answer
from trivet.backends.openai.connections import Connections
from trivet.backends.openai.examination import Findings, examine
from trivet.backends.openai.failures import RETRY_AFTER, Refused
from trivet.backends.openai.request_body import CHAT, COMPLETIONS, chat_body, ids_body, require_expressible
from trivet.backends.openai.settings import EndpointSettings
from trivet.backends.openai.trial import Trial
from trivet.errors import AdapterRejected, BackendUnavailable, PromptTooLong
from trivet.types.adapter import StagedAdapter
from trivet.types.generation import BackendRequest, Chunk

logger = logging.getLogger(__name__)
UNWELL = 2  # looks in a row that found it unwell


class OpenAiEndpoint:
    """Implements `ports.Backend`. Call everything from one event loop.

    It has no adapters of ours, and nothing is computed in advance: what it caches, and for whom, is its own affair.
    `start` examines it; it is down from the moment that looks fail in a row, or requests and then a trial of our own,
    until it is started again.
    """

    block_size = 16
    salts_after_prefix = False
    keeps_prefixes = False

    def __init__(self, settings: EndpointSettings) -> None:
        self.incarnation = 0
        self._settings = settings
        self._connections: Connections | None = None
        self._findings: Findings | None = None
        self._key: str | None = None
        self._problem = "it was not asked yet"
        self._failures = 0
        self._turned = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self._trial = Trial(settings, self._answered, self._recovered, self._down)

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        return self._settings.name

    @property
    def context_tokens(self) -> int:
        """See `ports.Backend.context_tokens`."""
        return self._findings.context_tokens if self._findings else self._settings.context_tokens or 0

    @property
    def token_ids(self) -> bool:
        """Whether prompts go out as token ids, and not as messages."""
        return self._findings is not None and self._findings.token_ids

    @property
    def ready(self) -> bool:
        """It was well when it was asked last."""
        return not self._problem

    async def start(self) -> None:
        """Examine it, also after it was down; nothing to do if it is ready. Raises BackendUnavailable."""
        if self.ready:
            return
        await self.close()
        connections = self._connect()
        try:
            findings = await examine(self._settings, connections)
        except BaseException as problem:
            self._problem = str(problem) or self._problem
            await connections.close()
            raise
        self._connections, self._findings, self._problem, self._failures = connections, findings, "", 0
        self.incarnation += 1
        self._watching = asyncio.create_task(self._watch(findings), name=f"health of {self.name}")
        logger.info(
            "backend %s: prompts go as %s, its tokenizer was %s",
            self.name,
            "token ids" if findings.token_ids else "messages",
            "compared with ours" if findings.checked else "not compared",
        )

    async def close(self) -> None:
        """End its connections; what is in flight fails."""
        self._down("it is closed")
        await self._trial.close()
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            await asyncio.wait({watching})
        connections, self._connections = self._connections, None
        if connections is not None:
            await connections.close()

    async def death(self) -> str:
        """Wait until it is down; returns the reason."""
        while self.ready:
            self._turned.clear()
            await self._turned.wait()
        return self._problem

    def schema_known(self, schema: Mapping[str, Any], owner: str) -> bool:
        """The endpoint finds out, when it comes with a request."""
        return True

    async def admit_schema(self, schema: Mapping[str, Any], owner: str) -> None:
        """See `schema_known`."""

    async def load_adapter(self, adapter: StagedAdapter) -> None:
        """Raises AdapterRejected: it is not ours to change."""
        raise AdapterRejected(f"backend {self.name} is only asked, and takes no adapters")

    async def unload_adapter(self, engine_name: str) -> None:
        """There is none."""

    async def generate(self, request: BackendRequest) -> AsyncGenerator[Chunk, None]:
        """See `ports.Backend.generate`. Also raises Overloaded, PromptTooLong and InvalidRequest, as the endpoint says.

        An endpoint that ends an answer early, stalls, or sends what is no answer has failed: BackendUnavailable.
        """
        require_expressible(request)
        length = len(request.token_ids)
        if length >= self.context_tokens > 0:
            raise PromptTooLong(f"the prompt has {length} tokens, and the context {self.context_tokens}")
        try:
            async with contextlib.aclosing(self._answered(request)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except Refused as problem:
            self._trial.begin(str(problem))
            raise
        except BackendUnavailable as problem:
            self._failed(str(problem))
            raise
        self._failures = 0

    async def _answered(self, request: BackendRequest) -> AsyncGenerator[Chunk, None]:
        answer = Answer(len(request.token_ids), self.token_ids, request.sampling.max_tokens)
        connections = self._connections
        if not self.ready or connections is None:
            raise BackendUnavailable(f"backend {self.name} is down: {self._problem}", RETRY_AFTER)
        loop = asyncio.get_running_loop()
        if self.token_ids:
            path, body = COMPLETIONS, ids_body(self._settings, request, self._key)
        else:
            path, body = CHAT, chat_body(self._settings, request)
        async with connections.stream(path, body) as response:
            async with contextlib.aclosing(self._pieces(response, answer)) as pieces:
                async for piece in pieces:
                    try:
                        chunks = answer.feed(piece, loop.time())
                    except (ValueError, RecursionError) as error:
                        raise self._broken(f"sends what is no answer ({type(error).__name__})") from error
                    for chunk in chunks:
                        yield chunk
                    if answer.done:
                        break
            if not answer.finished:
                raise self._broken("broke the answer off")
            yield answer.end(loop.time())

    async def _pieces(self, response: httpx.Response, answer: Answer) -> AsyncGenerator[bytes, None]:
        """What it sends, for as long as the next piece comes in time. Nothing is said of an end that comes too early,
        or never, once all text is here."""
        pieces: AsyncIterator[bytes] = response.aiter_raw()
        settings = self._settings
        try:
            while True:
                wait = settings.idle_timeout if answer.began else settings.first_token_timeout
                async with asyncio.timeout(wait):
                    piece = await anext(pieces, None)
                if piece is None:
                    return
                yield piece
        except (TimeoutError, httpx.TimeoutException) as error:
            if not answer.finished:
                raise self._broken("stalled in the middle of an answer") from error
        except httpx.HTTPError as error:
            if not answer.finished:
                raise self._broken("broke the answer off") from error

    def _broken(self, what: str) -> BackendUnavailable:
        return BackendUnavailable(f"the endpoint of backend {self.name} {what}", RETRY_AFTER)

    def _connect(self) -> Connections:
        """With the credential as it is now."""
        try:
            self._key = self._settings.read_key()
            return Connections(self._settings, self._key)
        except (OSError, ValueError) as error:
            told = f"backend {self.name}: its key or certificates cannot be read ({type(error).__name__})"
            raise BackendUnavailable(told, RETRY_AFTER) from error

    async def _watch(self, findings: Findings) -> None:
        """Look at it now and then; the last thing that this does is to say that it is down."""
        unwell = 0
        while True:
            await asyncio.sleep(self._settings.health_interval)
            connections = self._connections
            if connections is None:
                return
            try:
                status, _ = await connections.ask("GET", findings.health_url)
                problem = "" if status < 400 or status == 429 else f"it says of itself {status}"
            except BackendUnavailable as error:
                problem = str(error)
            unwell = unwell + 1 if problem else 0
            if unwell >= UNWELL:
                self._down(problem)
                return

    def _failed(self, why: str) -> None:
        self._failures += 1
        if self._failures >= self._settings.max_failures:
            self._trial.begin(f"{self._failures} requests in a row failed, the last because {why}")

    def _recovered(self) -> None:
        self._failures = 0

    def _down(self, why: str) -> None:
        self._problem = self._problem or why
        self._turned.set()
