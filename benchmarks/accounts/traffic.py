"""Requests of every kind, and what each client saw of its own."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import httpx
from google.protobuf import json_format

from benchmarks.accounts.world import ROUTES
from benchmarks.measuring.workload import fresh_texts
from trivet.api.v1 import inference_pb2, receipt_pb2
from trivet.cli.server.process import ServerProcess
from trivet.client import AsyncClient, CallFailed, Target

AT_ONCE = 30
PATIENCE = 240.0  # seconds for an answer on a busy machine
LONG = "word " * 4000


@dataclass
class Seen:
    """One request. `code`: what the client was told, empty where it left; `receipt`: if it was told one."""

    id: str  # the request id that it was sent with
    kind: str
    tenant: str
    route: str
    code: str = ""
    receipt: receipt_pb2.Receipt | None = None


class Traffic:
    """Sends requests, drawn by `seed`, and keeps what was seen of them."""

    def __init__(
        self,
        server: ServerProcess,
        seed: int,
        routes: Sequence[str] = tuple(ROUTES),
        tenants: Sequence[str] = ("acme", "brook"),
        without: Collection[str] = (),
    ) -> None:
        """`without`: kinds that are not sent."""
        self.seen: list[Seen] = []
        self._server = server
        self._prefix = f"a{secrets.token_hex(4)}"
        self._routes = routes
        self._tenants = tenants
        self._draw = random.Random(seed)
        self._texts = fresh_texts("accounts")
        self._clients: dict[str, AsyncClient] = {}
        # kind: (how often, what does it)
        self._kinds: dict[str, tuple[int, Callable[[Seen], Awaitable[None]]]] = {
            "grpc": (14, self._unary), "grpc stream": (14, self._stream), "http": (10, self._http),
            "http stream": (10, self._http_stream), "grpc cancelled": (10, self._cancelled),
            "grpc stream cancelled": (10, self._stream_cancelled), "http left": (6, self._http_left),
            "grpc deadline": (8, self._deadline), "http deadline": (4, self._http_deadline),
            "slow reader": (4, self._slow), "limited tenant": (5, self._limited), "unknown route": (2, self._unknown),
            "bad messages": (2, self._bad), "too long": (2, self._too_long), "bad body": (1, self._bad_body),
            "wrong key": (1, self._wrong_key),
        }  # fmt: skip
        for kind in without:
            del self._kinds[kind]

    async def send(self, number: int) -> None:
        """So many more, `AT_ONCE` at a time."""
        begin = len(self.seen)
        requests = self._requests(begin, number)
        async with httpx.AsyncClient(base_url=f"http://{self._server.http_address}", timeout=PATIENCE) as self._web:
            self._clients = {
                tenant: AsyncClient(replace(self._server.target, key=tenant), timeout=PATIENCE)
                for tenant in (*self._tenants, "few", "nobody")
            }
            try:
                await asyncio.gather(*(self._work(requests) for _ in range(AT_ONCE)))
            finally:
                for client in self._clients.values():
                    await client.close()

    def _requests(self, begin: int, number: int) -> Iterator[Seen]:
        names = list(self._kinds)
        weights = [self._kinds[name][0] for name in names]
        for at in range(begin, begin + number):
            kind = self._draw.choices(names, weights)[0]
            seen = Seen(f"{self._prefix}-{at}", kind, self._draw.choice(self._tenants), self._draw.choice(self._routes))
            self.seen.append(seen)
            yield seen

    async def _work(self, requests: Iterator[Seen]) -> None:
        for seen in requests:
            try:
                await self._kinds[seen.kind][1](seen)
            except CallFailed as failure:
                seen.code, seen.receipt = failure.code, failure.receipt
            except httpx.HTTPError as failure:
                seen.code = f"HTTP {type(failure).__name__}"
            if seen.code in {"UNAVAILABLE", "RESOURCE_EXHAUSTED"}:
                await asyncio.sleep(0.3)

    def _request(self, seen: Seen) -> inference_pb2.GenerateRequest:
        message = inference_pb2.Message(role="user", content=next(self._texts))
        return inference_pb2.GenerateRequest(
            route=seen.route, messages=[message], unit_id=f"unit-{self._draw.randrange(200)}",
            temperature=self._draw.choice((0.0, 1.0)), labels={"kind": seen.kind.replace(" ", "-")},
        )  # fmt: skip

    def _sent(self, seen: Seen) -> list[tuple[str, str]]:
        return [("x-request-id", seen.id)]

    async def _unary(self, seen: Seen, timeout: float | None = None) -> None:
        client = self._clients[seen.tenant]
        answer = await client.generate(self._request(seen), timeout=timeout, metadata=self._sent(seen))
        seen.code, seen.receipt = "OK", answer.receipt

    async def _stream(self, seen: Seen, pause: float = 0.0) -> None:
        client = self._clients[seen.tenant]
        async with client.generate_stream(self._request(seen), metadata=self._sent(seen)) as events:
            async for event in events:
                await asyncio.sleep(pause)
                if event.HasField("final"):
                    seen.code, seen.receipt = "OK", event.final.receipt

    async def _slow(self, seen: Seen) -> None:
        await self._stream(seen, pause=self._draw.uniform(0.05, 0.4))

    async def _left(self, seen: Seen, work: Callable[[Seen], Awaitable[None]]) -> None:
        """Leave at a random moment, or just after the answer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._draw.choice((0.0, 0.02, 0.2, 1.0, 4.0)) * self._draw.random()):
                await work(seen)

    async def _cancelled(self, seen: Seen) -> None:
        await self._left(seen, self._unary)

    async def _stream_cancelled(self, seen: Seen) -> None:
        await self._left(seen, self._stream)

    async def _http_left(self, seen: Seen) -> None:
        await self._left(seen, self._http_stream)

    async def _deadline(self, seen: Seen) -> None:
        await self._unary(seen, timeout=self._draw.choice((0.01, 0.1, 0.5, 2.0)) * self._draw.random() + 0.001)

    async def _limited(self, seen: Seen) -> None:
        seen.tenant = "few"
        await self._unary(seen)

    async def _unknown(self, seen: Seen) -> None:
        seen.route = f"nowhere-{self._draw.randrange(3)}"
        await self._unary(seen)

    async def _bad(self, seen: Seen) -> None:
        request = self._request(seen)
        request.messages.add(role="assistant", content="The last one is not the user's.")
        await self._clients[seen.tenant].generate(request, metadata=self._sent(seen))

    async def _too_long(self, seen: Seen) -> None:
        request = self._request(seen)
        request.messages[0].content = LONG
        await self._clients[seen.tenant].generate(request, metadata=self._sent(seen))

    async def _wrong_key(self, seen: Seen) -> None:
        seen.tenant = "nobody"
        await self._unary(seen)

    async def _http(self, seen: Seen, timeout: float | None = None) -> None:
        answer = await self._web.post(
            "/v1/chat/completions", json=self._body(seen), headers=self._headers(seen, timeout)
        )
        self._told(seen, answer.json())

    async def _http_deadline(self, seen: Seen) -> None:
        await self._http(seen, timeout=self._draw.choice((0.1, 0.5, 2.0)) * self._draw.random() + 0.001)

    async def _http_stream(self, seen: Seen) -> None:
        body = {**self._body(seen), "stream": True}
        async with self._web.stream("POST", "/v1/chat/completions", json=body, headers=self._headers(seen)) as answer:
            if answer.status_code != 200:
                self._told(seen, json.loads(await answer.aread()))
                return
            async for line in answer.aiter_lines():
                if line.startswith("data: {"):
                    self._told(seen, json.loads(line.removeprefix("data: ")))

    async def _bad_body(self, seen: Seen) -> None:
        body = {**self._body(seen), "n": 7}
        answer = await self._web.post("/v1/chat/completions", json=body, headers=self._headers(seen))
        self._told(seen, answer.json())

    def _body(self, seen: Seen) -> dict[str, object]:
        request = self._request(seen)
        return {
            "model": seen.route, "messages": [{"role": "user", "content": request.messages[0].content}],
            "user": request.unit_id, "temperature": request.temperature, "metadata": dict(request.labels),
        }  # fmt: skip

    def _headers(self, seen: Seen, timeout: float | None = None) -> dict[str, str]:
        more = {} if timeout is None else {"x-trivet-timeout": f"{timeout:.3f}"}
        return {"authorization": f"Bearer {seen.tenant}", "x-request-id": seen.id, **more}

    def _told(self, seen: Seen, body: dict[str, object]) -> None:
        """Take the receipt out of an answer, an event, or an error."""
        error = body.get("error")
        told = error.get("trivet") if isinstance(error, dict) else body.get("trivet")
        if isinstance(told, dict) and "receipt" in told:
            seen.receipt = json_format.ParseDict(told["receipt"], receipt_pb2.Receipt())
            seen.code = seen.receipt.code
        elif error is not None:
            seen.code = "HTTP error"


def target_of(server: ServerProcess, tenant: str) -> Target:
    """As that tenant."""
    return replace(server.target, key=tenant)
