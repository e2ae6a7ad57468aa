"""The service of an engine node, over a scripted engine: what it answers, refuses, and does when gateways leave."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.engine.served_node import KnownCopies, connected, remote_settings, serve_node
from tests.support.gateway.certificates import self_signed
from trivet.engine.v1 import engine_pb2
from trivet.engine.wire import start_from_proto
from trivet.errors import BackendUnavailable, Draining, FailedPrecondition, InvalidRequest, NotFound, Overloaded
from trivet.fleet.remote.remote_engine import RemoteEngine
from trivet.fleet.remote.target import NodeAccess, NodeTls
from trivet.node import service
from trivet.node.tally import Outcome
from trivet.testing.backend import ScriptedBackend
from trivet.types.adapter import StagedAdapter
from trivet.types.generation import BackendRequest, Chunk, FinishReason
from trivet.types.request import Tool
from trivet.types.variant import Sampling, VersionRef

ABORT_SECONDS = 1.0  # generous: other tests run beside this one


def request(tokens: int = 40, **changes: object) -> BackendRequest:
    wanted = BackendRequest("request-1", tuple(range(tokens)), Sampling(max_tokens=50))
    return replace(wanted, **changes)  # type: ignore[arg-type]


def adapter(name: str) -> StagedAdapter:
    return StagedAdapter(VersionRef(name, "1"), name.encode().hex().ljust(64, "0"), 8, Path("/nowhere"))


async def answer(engine: RemoteEngine, wanted: BackendRequest) -> list[Chunk]:
    async with aclosing(engine.generate(wanted)) as chunks:
        return [chunk async for chunk in chunks]


async def until(condition: object, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_an_answer_and_all_that_is_said_with_it(tmp_path: Path) -> None:
    backend = ScriptedBackend(["a ", "b ", "c"])
    async with serve_node(backend, tmp_path) as node, connected(node) as engine:
        wanted = request(
            sampling=Sampling(max_tokens=9, temperature=0.5, seed=0, stop=("x",), top_k=3, min_p=0.1),
            cache_salt="tenant",
            unsalted_tokens=32,
            json_schema={"type": "object", "properties": {"b": {}, "a": {}}},
            schema_owner="tenant",
            priority=1,
            tools=(Tool("f", "does", {"type": "object"}, 18),),
            template_variables={"enable_thinking": False},
        )
        chunks = await answer(engine, wanted)
        assert "".join(chunk.text for chunk in chunks) == "a b c"
        assert [chunk.tokens for chunk in chunks] == [1, 1, 1]
        assert (chunks[0].input_tokens, chunks[0].cached_tokens) == (40, 0)
        assert chunks[-1].finish is FinishReason.STOP
        assert (await answer(engine, wanted))[0].cached_tokens == 32
    got = backend.requests[0]
    assert replace(got, on_unread=wanted.on_unread, on_charge=wanted.on_charge) == wanted
    assert list(got.json_schema["properties"]) == ["b", "a"]  # type: ignore[index]


async def test_large_tools_are_read_in_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where: list[bool] = []

    def read(start: engine_pb2.Start) -> BackendRequest:
        where.append(threading.current_thread() is threading.main_thread())
        return start_from_proto(start)

    monkeypatch.setattr(service, "start_from_proto", read)
    backend = ScriptedBackend(["a"])
    async with serve_node(backend, tmp_path) as node, connected(node) as engine:
        for count in (1, 6):
            tools = tuple(Tool(f"f{number}", "", {"description": "x" * 16_000}) for number in range(count))
            await answer(engine, request(tools=tools))
    assert where == [True, False]
    assert [len(sent.tools) for sent in backend.requests] == [1, 6]


async def test_what_the_node_is(tmp_path: Path) -> None:
    backend = ScriptedBackend()
    async with serve_node(backend, tmp_path, name="eins") as node, connected(node) as engine:
        assert (engine.block_size, engine.context_tokens, engine.salts_after_prefix) == (32, 2048, True)
        assert engine.facts is not None
        assert engine.facts.name == "eins"
        assert engine.incarnation == 1
        backend.incarnation = 2
        node.servicer.changed()
        await until(lambda: engine.incarnation == 2)
        backend.ready = False
        node.servicer.changed()
        await until(lambda: not engine.ready)
        with pytest.raises(BackendUnavailable, match="is not ready: its engine is not ready"):
            await answer(engine, request())


async def test_leaving_aborts_and_tells_what_was_handed_over(tmp_path: Path) -> None:
    """All that the engine handed over is either read or told: the account has every token once."""
    backend = ScriptedBackend(["x "] * 500, interval=0.005)
    unread: list[Chunk] = []
    async with serve_node(backend, tmp_path) as node, connected(node) as engine:
        read = 0
        async with aclosing(engine.generate(request(on_unread=unread.append))) as chunks:
            async for chunk in chunks:
                read += chunk.tokens
                if read >= 5:
                    await until(lambda read=read: node.servicer.tally.output >= read + 3)  # more comes meanwhile
                    break
        assert backend.in_flight == 0
        assert backend.aborted == 1
        assert read == 5
        assert unread
        assert unread[0].tokens >= 2
        assert node.servicer.tally.output == read + unread[0].tokens
        assert node.servicer.tally.requests[Outcome.ABORTED] == 1
        assert engine.in_flight == 0


async def test_cancelling_aborts_at_once(tmp_path: Path) -> None:
    backend = ScriptedBackend(["x "] * 500, interval=0.01)
    async with serve_node(backend, tmp_path) as node, connected(node) as engine:
        running = asyncio.create_task(answer(engine, request()))
        await until(lambda: backend.in_flight == 1)
        running.cancel()
        left = time.monotonic()
        await until(lambda: backend.in_flight == 0)
        assert time.monotonic() - left < ABORT_SECONDS
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_a_gateway_that_dies_aborts_its_requests(tmp_path: Path) -> None:
    backend = ScriptedBackend(["x "] * 500, interval=0.01)
    async with serve_node(backend, tmp_path) as node, connected(node) as engine:
        running = asyncio.create_task(answer(engine, request()))
        await until(lambda: backend.in_flight == 1)
        await engine.close()
        with pytest.raises(BackendUnavailable):
            await running
        await until(lambda: backend.in_flight == 0)


async def test_errors_keep_their_kind(tmp_path: Path) -> None:
    backend = ScriptedBackend()
    async with serve_node(backend, tmp_path) as node, connected(node) as engine:
        with pytest.raises(NotFound, match="gone@1#abc is not resident"):
            await answer(engine, request(adapter="gone@1#abc"))
        with pytest.raises(NotFound, match="none of the places"):
            await engine.load_adapter(adapter("nowhere"))
        with pytest.raises(InvalidRequest) as refused:
            await answer(engine, request(tokens=5000, cache_salt="s" * 300))
        assert set(refused.value.fields) == {"token_ids", "cache_salt"}
        with pytest.raises(InvalidRequest):
            await engine.load_version("../up", "1", "z")


async def test_an_engine_without_adapters(tmp_path: Path) -> None:
    async with serve_node(ScriptedBackend(), tmp_path, places=0) as node, connected(node) as engine:
        with pytest.raises(FailedPrecondition, match="takes no adapters"):
            await engine.load_adapter(adapter("red"))


async def test_a_key_lets_in_and_nothing_else_does(tmp_path: Path) -> None:
    key = tmp_path / "key"
    async with serve_node(ScriptedBackend(), tmp_path / "node", secrets=["right"]) as node:
        key.write_text("right\n")
        async with connected(node, access=NodeAccess(key)) as engine:
            assert await answer(engine, request())
        for wrong in ("wrong", None):
            if wrong:
                key.write_text(wrong)
            access = NodeAccess(key if wrong else None)
            engine = RemoteEngine(node.address, remote_settings(access))
            engine.connect()
            await until(lambda engine=engine: "does not let this gateway in" in engine.problem)
            assert not engine.ready
            await engine.close()


async def test_certificates_on_both_sides(tmp_path: Path) -> None:
    files, own = self_signed(tmp_path / "node"), self_signed(tmp_path / "gateway")
    tls = replace(files, client_ca=own.certificate)
    async with serve_node(ScriptedBackend(), tmp_path / "data", tls=tls) as node:
        access = NodeAccess(tls=NodeTls(files.certificate, own.certificate, own.key))
        async with connected(node, access=access) as engine:
            assert await answer(engine, request())
        engine = RemoteEngine(node.address, remote_settings(NodeAccess(tls=NodeTls(files.certificate))))
        engine.connect()
        await until(lambda: "cannot be reached" in engine.problem, 15)
        await engine.close()


async def test_adapters_keep_to_their_places(tmp_path: Path) -> None:
    """The one used longest ago gives way, one in use never; what nobody holds goes first."""
    backend = ScriptedBackend(["x "] * 500, interval=0.01)
    copies = KnownCopies()
    red, green, blue = (adapter(name) for name in ("red", "green", "blue"))
    copies.add([red, green, blue])
    async with serve_node(backend, tmp_path, places=2, copies=copies) as node, connected(node) as engine:
        await asyncio.gather(*(engine.load_adapter(red) for _ in range(3)))
        assert copies.fetched == ["red@1"]
        await engine.load_adapter(green)
        using = asyncio.create_task(answer(engine, request(adapter=red.engine_name)))
        await until(lambda: backend.in_flight == 1)
        await engine.load_adapter(blue)
        assert backend.resident == {red.engine_name, blue.engine_name}
        also = asyncio.create_task(answer(engine, request(adapter=blue.engine_name)))
        await until(lambda: backend.in_flight == 2)
        with pytest.raises(Overloaded, match=r"adapter places waiting \(limit 2\)"):
            await engine.load_adapter(green)
        await engine.unload_adapter(red.engine_name)
        assert red.engine_name in backend.resident, "it is in use"
        using.cancel()
        await until(lambda: red.engine_name not in backend.resident)
        await engine.load_adapter(green)
        also.cancel()
        await until(lambda: engine.view is not None and green.engine_name in engine.view.adapters)


async def test_one_gateway_does_not_unload_what_another_holds(tmp_path: Path) -> None:
    backend, copies, red = ScriptedBackend(), KnownCopies(), adapter("red")
    copies.add([red])
    async with (
        serve_node(backend, tmp_path, copies=copies) as node,
        connected(node, holder="one") as one,
        connected(node, holder="two") as two,
    ):
        await one.load_adapter(red)
        await two.load_adapter(red)
        await one.unload_adapter(red.engine_name)
        assert await answer(two, request(adapter=red.engine_name))
        await two.unload_adapter(red.engine_name)
        assert not backend.resident


async def test_draining_and_stopping(tmp_path: Path) -> None:
    backend = ScriptedBackend(["x "] * 20, interval=0.01)
    async with serve_node(backend, tmp_path) as node, connected(node) as engine:
        running = asyncio.create_task(answer(engine, request()))
        await until(lambda: backend.in_flight == 1)
        assert await engine.drain(True) == 1
        await until(lambda: engine.draining)
        assert await answer(engine, request()), "what comes all the same is answered"
        stopping = asyncio.create_task(node.servicer.finish())
        assert len(await running) == 20
        await stopping
        with pytest.raises(Draining):
            await answer(engine, request())
