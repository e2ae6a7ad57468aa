"""One call carries all answers: what each of them may do to the others, and what a gateway may do to the node."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.support.engine.served_node import KnownCopies, ServedNode, connected, serve_node
from trivet.engine.failures import error_of, error_of_status
from trivet.engine.v1 import engine_pb2, engine_pb2_grpc
from trivet.engine.wire import start_to_proto
from trivet.errors import BackendUnavailable, InvalidRequest, MessageTooLarge, NotFound, TrivetError
from trivet.fleet.remote.remote_engine import RemoteEngine
from trivet.node.tally import Outcome
from trivet.testing.backend import ScriptedBackend
from trivet.types.adapter import StagedAdapter
from trivet.types.generation import BackendRequest, Chunk, MachineCharge
from trivet.types.variant import Sampling, VersionRef

FINISHED = (engine_pb2.FINISH_REASON_STOP, engine_pb2.FINISH_REASON_LENGTH)


def request(name: str = "request-1", tokens: int = 40, **changes: Any) -> BackendRequest:
    return BackendRequest(name, tuple(range(tokens)), Sampling(max_tokens=5000), **changes)


def start(number: int, **changes: Any) -> engine_pb2.GenerateRequest:
    return engine_pb2.GenerateRequest(answer=number, start=start_to_proto(request(f"request-{number}", **changes)))


def abort(number: int) -> engine_pb2.GenerateRequest:
    return engine_pb2.GenerateRequest(answer=number, abort=engine_pb2.Abort())


async def answer(engine: RemoteEngine, wanted: BackendRequest) -> list[Chunk]:
    return [chunk async for chunk in engine.generate(wanted)]


async def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


@asynccontextmanager
async def called(node: ServedNode) -> AsyncIterator[Any]:
    """The bare call, with nothing sent yet."""
    async with grpc.aio.insecure_channel(node.address) as channel:
        yield engine_pb2_grpc.EngineStub(channel).Generate()


async def pieces(call: Any) -> list[engine_pb2.Piece]:
    """All that come until the call ends."""
    found: list[engine_pb2.Piece] = []
    while (message := await call.read()) is not grpc.aio.EOF:
        found += message.pieces
    return found


async def test_messages_hold_pieces_of_many_answers(tmp_path: Path) -> None:
    """Every token is a piece of its own, and what comes together goes together."""
    backend = ScriptedBackend(["x "] * 20, interval=0.05)
    async with serve_node(backend, tmp_path) as node, called(node) as call:
        for number in range(1, 41):
            await call.write(start(number))
        messages, texts, ended = 0, dict.fromkeys(range(1, 41), ""), 0
        while ended < 40:
            message = await call.read()
            messages += 1
            for piece in message.pieces:
                texts[piece.answer] += piece.chunk.text
                ended += piece.chunk.finish in FINISHED
        assert set(texts.values()) == {"x " * 20}
        assert messages < 40 * 20 / 2


async def test_one_that_fails_ends_alone(tmp_path: Path) -> None:
    backend = ScriptedBackend(["x "] * 30, interval=0.01)
    async with serve_node(backend, tmp_path) as node, connected(node) as engine:
        good = asyncio.create_task(answer(engine, request("good")))
        await until(lambda: backend.in_flight)
        with pytest.raises(NotFound, match="gone@1#abc is not resident"):
            await answer(engine, request("bad", adapter="gone@1#abc"))
        with pytest.raises(InvalidRequest, match="token_ids"):
            await answer(engine, request("long", tokens=5000))
        assert len(await good) == 30


async def test_one_too_large_for_a_message_is_not_sent(tmp_path: Path) -> None:
    """It would end the call, and so all others."""
    backend = ScriptedBackend(["x "] * 30, interval=0.01)
    async with serve_node(backend, tmp_path, max_message_bytes=10_000) as node, connected(node) as engine:
        good = asyncio.create_task(answer(engine, request("good")))
        await until(lambda: backend.in_flight)
        with pytest.raises(MessageTooLarge):
            await answer(engine, request("large", template_variables={"a": "b" * 10_000}))
        assert len(await good) == 30
        assert engine.in_flight == 0


async def test_an_answer_that_waits_for_its_slot_is_aborted_too(tmp_path: Path) -> None:
    backend, copies = ScriptedBackend(["x "] * 2000, interval=0.01), KnownCopies()
    red, blue = (StagedAdapter(VersionRef(name, "1"), name.encode().hex().ljust(64, "0"), 8, Path()) for name in "rb")
    copies.add([red, blue])
    async with (
        serve_node(backend, tmp_path, slots=1, quantum=60.0, copies=copies) as node,
        connected(node) as engine,
    ):
        for adapter in (red, blue):
            await engine.load_adapter(adapter)
        running = asyncio.create_task(answer(engine, request(adapter=red.engine_name)))
        await until(lambda: backend.in_flight == 1)
        waiting = asyncio.create_task(answer(engine, request(adapter=blue.engine_name)))
        await until(lambda: node.servicer.running == 2)
        waiting.cancel()
        await until(lambda: node.servicer.running == 1)
        running.cancel()
        await until(lambda: node.servicer.running == 0)
        assert len(backend.requests) == 1


async def test_the_end_of_the_gateways_side_aborts_all_and_tells_what_was_handed_over(tmp_path: Path) -> None:
    backend = ScriptedBackend(["x "] * 2000, interval=0.01)
    async with serve_node(backend, tmp_path) as node, called(node) as call:
        for number in (1, 2):
            await call.write(start(number))
        await until(lambda: node.servicer.tally.output >= 20)
        await call.done_writing()
        found = await pieces(call)
        last = [piece.answer for piece in found if piece.chunk.finish == engine_pb2.FINISH_REASON_CANCELLED]
        assert sorted(last) == [1, 2]
        assert sum(piece.chunk.tokens for piece in found) == node.servicer.tally.output
        assert node.servicer.tally.requests[Outcome.ABORTED] == backend.aborted == 2
        assert await call.code() is grpc.StatusCode.OK


async def test_an_abort_of_what_has_ended_is_nothing(tmp_path: Path) -> None:
    async with serve_node(ScriptedBackend(), tmp_path) as node, called(node) as call:
        for step in (abort(7), start(1), abort(1), abort(1), start(2)):
            await call.write(step)
        ended = set()
        while 2 not in ended:
            ended |= {piece.answer for piece in (await call.read()).pieces if piece.chunk.finish}
        await call.done_writing()
        assert not await pieces(call)


@pytest.mark.parametrize(
    ("steps", "field"),
    [
        ([engine_pb2.GenerateRequest(answer=1)], "step"),
        ([start(1), start(1)], "answer"),
    ],
)
async def test_a_step_that_cannot_be_ends_the_call(
    tmp_path: Path, steps: list[engine_pb2.GenerateRequest], field: str
) -> None:
    backend = ScriptedBackend(["x "] * 2000, interval=0.01)
    async with serve_node(backend, tmp_path) as node, called(node) as call:
        for step in steps:
            await call.write(step)
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await pieces(call)
        problem = error_of(ended.value, "node")
        assert isinstance(problem, InvalidRequest)
        assert set(problem.fields) == {field}
        assert backend.in_flight == node.servicer.running == 0


async def test_a_gateway_that_reads_nothing_is_left(tmp_path: Path) -> None:
    backend = ScriptedBackend(["x" * 50_000] * 2000, interval=0.001)
    async with serve_node(backend, tmp_path, patience=0.5) as node, called(node) as call:
        await call.write(start(1))
        await until(lambda: backend.aborted == 1)
        assert node.servicer.running == 0
        assert node.servicer.tally.output < 2000


async def test_a_call_that_ends_fails_its_answers_and_the_next_one_has_another(tmp_path: Path) -> None:
    """What ends the call is no mistake of a request's, whatever the node says."""
    backend = ScriptedBackend(["x "] * 200, interval=0.01)
    async with serve_node(backend, tmp_path) as node, connected(node) as engine:
        running = [asyncio.create_task(answer(engine, request(f"r{number}"))) for number in range(3)]
        await until(lambda: backend.in_flight == 3)
        assert engine._answers is not None
        engine._answers._send(engine_pb2.GenerateRequest(answer=99))
        results = await asyncio.gather(*running, return_exceptions=True)
        assert [type(result) for result in results] == [BackendUnavailable] * 3
        await until(lambda: backend.in_flight == 0)
        backend.script = ["x "]
        assert len(await answer(engine, request("next"))) == 1


class _Charging(ScriptedBackend):
    """On a machine whose time is shared out."""

    async def generate(self, wanted: BackendRequest) -> AsyncGenerator[Chunk, None]:
        try:
            async with aclosing(super().generate(wanted)) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            wanted.on_charge(MachineCharge(3, self.in_flight, 0.5))


async def test_what_an_answer_costs_comes_with_its_end(tmp_path: Path) -> None:
    """However it ends: the gateway's request is told once."""
    backend = _Charging(["x "] * 2000, interval=0.005)
    charges: list[MachineCharge] = []
    async with serve_node(backend, tmp_path) as node, connected(node) as engine:
        backend.script = ["x ", "y"]
        await answer(engine, request(on_charge=charges.append))
        assert charges == [MachineCharge(3, 0)]
        assert charges[0].prompt_weight == 0.5
        backend.script = ["x "] * 2000
        async with aclosing(engine.generate(request(on_charge=charges.append))) as chunks:
            await anext(chunks)
        assert len(charges) == 2
        failing = asyncio.create_task(answer(engine, request(on_charge=charges.append)))
        await until(lambda: backend.in_flight)
        backend.ready = False
        with pytest.raises(BackendUnavailable):
            await failing
        assert len(charges) == 3


def test_a_status_that_is_damaged_is_an_unreachable_node() -> None:
    problem: TrivetError = error_of_status(b"\xff\xff", "node")
    assert isinstance(problem, BackendUnavailable)
