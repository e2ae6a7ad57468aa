"""Discovery against an API server that loses events, answers 410, breaks connections, and is away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from trivet.fleet.discovery import DnsName, EndpointSlices, Found, KubernetesApi

TOKEN = "token-of-the-pod"


def endpoint(address: str, **conditions: bool) -> dict[str, Any]:
    return {"addresses": [address], "conditions": conditions}


def piece(name: str, *endpoints: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": name}, "endpoints": list(endpoints)}


class FakeApi:
    """Lists and watches as the API server does. `mute`: events are lost."""

    def __init__(self) -> None:
        self.slices: dict[str, dict[str, Any]] = {}
        self.version = 1
        self.lists = 0
        self.status = 200
        self.mute = False
        self.seen: list[dict[str, list[str]]] = []
        self.url = ""
        self._watches: set[asyncio.StreamWriter] = set()

    def put(self, item: dict[str, Any]) -> None:
        name = item["metadata"]["name"]
        kind = "MODIFIED" if name in self.slices else "ADDED"
        self.slices[name] = item
        self._tell(kind, item)

    def delete(self, name: str) -> None:
        self._tell("DELETED", self.slices.pop(name))

    def expire(self) -> None:
        """What a watch is told whose version is too old."""
        self._send({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}})

    def cut(self) -> None:
        """Break all connections."""
        for writer in self._watches:
            writer.transport.abort()

    def _tell(self, kind: str, item: dict[str, Any]) -> None:
        self.version += 1
        if not self.mute:
            self._send({"type": kind, "object": item})

    def _send(self, event: dict[str, Any]) -> None:
        line = json.dumps(event).encode() + b"\n"
        for writer in self._watches:
            writer.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await self._answer(head.decode(), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._watches.discard(writer)
            writer.close()

    async def _answer(self, head: str, writer: asyncio.StreamWriter) -> None:
        target = urlsplit(head.split(" ")[1])
        query = parse_qs(target.query)
        assert target.path == "/apis/discovery.k8s.io/v1/namespaces/serving/endpointslices"
        assert f"authorization: bearer {TOKEN}" in head.lower()
        assert query["labelSelector"] == ["kubernetes.io/service-name=engines"]
        self.seen.append(query)
        if "watch" in query and self.status == 200:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            self._watches.add(writer)
            await asyncio.sleep(float(query["timeoutSeconds"][0]))
            self._watches.discard(writer)
            writer.write(b"0\r\n\r\n")
        else:
            self.lists += 1
            body = json.dumps(
                {"metadata": {"resourceVersion": str(self.version)}, "items": list(self.slices.values())}
            ).encode()
            writer.write(f"HTTP/1.1 {self.status} X\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()


@asynccontextmanager
async def fake_api() -> AsyncIterator[FakeApi]:
    api = FakeApi()
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(api.handle(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    api.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield api
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def slices_of(api: FakeApi, folder: Path, refresh: float = 30.0) -> EndpointSlices:
    (folder / "token").write_text(TOKEN + "\n")
    return EndpointSlices(KubernetesApi(api.url, folder / "token", None, "serving"), "engines", 7610, refresh)


async def told(found: Any, seconds: float = 60.0) -> Found:
    async with asyncio.timeout(seconds):
        return await anext(found)


def known(*addresses: str) -> Found:
    return Found(frozenset(f"{address}:7610" for address in addresses))


async def test_endpoints_come_and_go(tmp_path: Path) -> None:
    async with fake_api() as api:
        api.slices["a"] = piece("a", endpoint("10.0.0.1", ready=True), endpoint("fd00::1"))
        async with aclosing(slices_of(api, tmp_path).watch()) as found:
            assert await told(found) == Found(frozenset({"10.0.0.1:7610", "[fd00::1]:7610"}))
            waiting = asyncio.ensure_future(told(found))
            while not api._watches:
                await asyncio.sleep(0.01)
            api.put(piece("b", endpoint("10.0.0.2", serving=True)))
            assert await waiting == Found(frozenset({"10.0.0.1:7610", "[fd00::1]:7610", "10.0.0.2:7610"}))
            api.put(piece("b", endpoint("10.0.0.2", serving=True, terminating=True)))
            assert "10.0.0.2:7610" not in ((await told(found)).known or set())
            api.delete("a")
            assert await told(found) == known()
        assert api.seen[1]["resourceVersion"] == ["1"]


async def test_what_is_not_serving_is_left_out(tmp_path: Path) -> None:
    async with fake_api() as api:
        api.slices["a"] = piece(
            "a",
            endpoint("10.0.0.1", ready=False, serving=False),
            endpoint("10.0.0.2", ready=False, serving=True),
            endpoint("10.0.0.3", ready=True, terminating=True),
        )
        async with aclosing(slices_of(api, tmp_path).watch()) as found:
            assert await told(found) == known("10.0.0.2")


@pytest.mark.parametrize("how", ["lost", "gone", "cut"])
async def test_what_a_watch_missed_is_found_by_the_next_list(tmp_path: Path, how: str) -> None:
    """A deletion whose event is lost, a version that is gone (410), a connection that breaks."""
    async with fake_api() as api:
        api.slices["a"], api.slices["b"] = piece("a", endpoint("10.0.0.1")), piece("b", endpoint("10.0.0.2"))
        async with aclosing(slices_of(api, tmp_path, refresh=1.0 if how == "lost" else 30.0).watch()) as found:
            assert await told(found) == known("10.0.0.1", "10.0.0.2")
            waiting = asyncio.ensure_future(told(found))
            while not api._watches:
                await asyncio.sleep(0.01)
            api.mute = True
            api.delete("b")
            api.mute = False
            if how != "lost":
                api.expire() if how == "gone" else api.cut()
            answer = await waiting
            if answer.known is None:
                answer = await told(found)
            assert answer == known("10.0.0.1")
            assert api.lists == 2


async def test_while_the_api_is_away_what_it_said_stands(tmp_path: Path) -> None:
    async with fake_api() as api:
        api.slices["a"] = piece("a", endpoint("10.0.0.1"))
        async with aclosing(slices_of(api, tmp_path, refresh=1.0).watch()) as found:
            assert await told(found) == known("10.0.0.1")
            api.status = 503
            answer = await told(found)
            assert answer.known is None
            assert "503" in answer.problem
            api.status = 200
            assert await told(found) == known("10.0.0.1")


async def test_a_name_with_many_addresses() -> None:
    answers: list[list[str] | OSError] = [["10.0.0.1"], OSError("no such name"), [], ["10.0.0.1", "fd00::1"]]

    async def resolve(host: str, port: int) -> list[str]:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer

    async with aclosing(DnsName("engines:7610", 0.01, resolve).watch()) as found:
        assert await told(found) == known("10.0.0.1")
        assert await told(found) == Found(None, "engines cannot be resolved: no such name")
        assert await told(found) == Found(None, "engines has no addresses")
        assert await told(found) == Found(frozenset({"10.0.0.1:7610", "[fd00::1]:7610"}))
