"""One run: tenant B alone, beside processes that only compute, and beside tenant A, row by row."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import grpc

from benchmarks.measuring.keys import add_keys
from benchmarks.measuring.servers import TrivetServer
from benchmarks.measuring.wire import ADMIN, INFERENCE, schema_struct
from benchmarks.measuring.workload import INDEX, PLAIN_ROUTE, SEARCH_ROUTE, Workload
from trivet.api.v1 import admin_pb2, inference_pb2
from trivet.client import Client, Target

ROWS = ("generations", "searches", "grammars", "writes", "uploads", "connections")
A, B = "hostile", "neighbour"
_HEAD_START = 6.0  # seconds that A is at it before B comes; the first third is its start


@dataclass
class Loop:
    """What one client did: seconds of what was answered, when (monotonic clock), and how often it was refused with
    which code."""

    seconds: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Row:
    """B alone, beside computing processes, beside A; A, and its answers a second before B came and beside B."""

    alone: Loop
    computing: Loop
    beside: Loop
    taking: Loop
    taking_alone: float
    taking_beside: float


@dataclass(frozen=True, slots=True)
class Where:
    """The listeners."""

    address: str
    admin_address: str


def generation(name: str, number: int) -> bytes:
    """An answer of 64 tokens to a question that nobody has asked before."""
    return _generate(f"Question {name} {number}: what is there to know?")


def search(name: str, number: int) -> bytes:
    """A text that no cache has seen."""
    return bytes(inference_pb2.RetrieveRequest(route=SEARCH_ROUTE, text=f"{name} {number} range").SerializeToString())


def grammar(name: str, number: int) -> bytes:
    """A schema that was never compiled: A's is as large as may be, B's small."""
    values = [f"{name} {number} {i}" for i in range(900 if name.startswith(A) else 3)]
    return _generate("Which?", json_schema=schema_struct({"enum": values}), max_tokens=2)


def write(name: str, number: int) -> bytes:
    """A short document of the tenant's own."""
    return _document(name, f"The code of {name} {number} is {number}.".encode(), admin_pb2.DOCUMENT_FORMAT_TEXT)


def upload(name: str, number: int) -> bytes:
    """A's is 300 KB of HTML that is hard to read, B's a short page."""
    tags = 30_000 if name.startswith(A) else 1
    content = f"<p>{name} {number}</p>".encode() + b"<div><b>x" * tags
    return _document(name, content, admin_pb2.DOCUMENT_FORMAT_HTML)


def _generate(text: str, **fields: Any) -> bytes:
    message = inference_pb2.Message(role="user", content=text)
    return bytes(inference_pb2.GenerateRequest(route=PLAIN_ROUTE, messages=[message], **fields).SerializeToString())


def _document(name: str, content: bytes, format_: Any) -> bytes:
    document = admin_pb2.Document(id=name.replace(" ", "-"), content=content, format=format_)
    return bytes(admin_pb2.UpsertDocumentsRequest(index=INDEX, document=document).SerializeToString())


PAYLOADS: dict[str, tuple[str, Callable[[str, int], bytes]]] = {
    "generations": (f"/{INFERENCE}/Generate", generation),
    "searches": (f"/{INFERENCE}/Retrieve", search),
    "grammars": (f"/{INFERENCE}/Generate", grammar),
    "writes": (f"/{ADMIN}/UpsertDocuments", write),
    "uploads": (f"/{ADMIN}/UpsertDocuments", upload),
    "connections": (f"/{INFERENCE}/Retrieve", search),
}


async def run_loop(where: Where, row: str, name: str, loop: Loop, until: float) -> None:
    """Ask one after the other until that time; for "connections" over a new connection each time."""
    method, payload = PAYLOADS[row]
    metadata = (("authorization", f"Bearer {name.split()[0]}"),)
    address = where.admin_address if ADMIN in method else where.address
    channel = grpc.aio.insecure_channel(address)
    for number in count():
        if time.monotonic() >= until:
            break
        if row == "connections" and name.startswith(A):
            await channel.close()
            channel = grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
        begun = time.perf_counter()
        try:
            await _ask(channel, method, payload(name, number), metadata)
            loop.seconds.append(time.perf_counter() - begun)
            loop.ended.append(time.monotonic())
        except grpc.aio.AioRpcError as error:
            loop.refused[error.code().name] += 1
            await asyncio.sleep(0.01)
    await channel.close()


async def _ask(channel: grpc.aio.Channel, method: str, payload: bytes, metadata: Any) -> None:
    if not method.endswith("UpsertDocuments"):
        one: Any = channel.unary_unary(method)
        await one(payload, metadata=metadata, timeout=60)
        return
    stream: Any = channel.stream_stream(method)(metadata=metadata, timeout=60)
    await stream.write(payload)
    await stream.done_writing()
    while await stream.read() is not grpc.aio.EOF:
        pass
    if (code := await stream.code()) is not grpc.StatusCode.OK:
        raise grpc.aio.AioRpcError(code, await stream.initial_metadata(), await stream.trailing_metadata())


def saturate(where: Where, row: str, loops: int, seconds: float, idle: bool) -> Loop:
    """Tenant A, in its own process; `idle`: which gets what the server and B leave of the processor."""
    os.sched_setscheduler(0, os.SCHED_IDLE if idle else os.SCHED_OTHER, os.sched_param(0))

    async def run() -> Loop:
        together, until = Loop(), time.monotonic() + seconds
        names = [f"{A} {number}" for number in range(loops)]
        waiting: list[Awaitable[None]] = [run_loop(where, row, name, together, until) for name in names]
        await asyncio.gather(*waiting)
        return together

    return asyncio.run(run())


@contextmanager
def computing(processes: int) -> Iterator[None]:
    """So many processes take what they can of the processor meanwhile, and ask for nothing."""
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def _alone(where: Where, row: str, name: str, seconds: float) -> Loop:
    loop = Loop()
    asyncio.run(run_loop(where, row, name, loop, time.monotonic() + seconds))
    return loop


def _row(where: Where, row: str, loops: int, seconds: float, process: ProcessPoolExecutor, idle: bool) -> Row:
    alone = _alone(where, row, f"{B} alone", seconds)
    with computing(len(os.sched_getaffinity(0))):
        burdened = _alone(where, row, f"{B} burdened", seconds)
    taking = process.submit(saturate, where, row, loops, _HEAD_START + seconds, idle)
    time.sleep(_HEAD_START)
    begun = time.monotonic()
    beside = _alone(where, row, f"{B} beside", seconds)
    ended = time.monotonic()
    taken = taking.result()

    def rate(since: float, until: float) -> float:
        return sum(since < at <= until for at in taken.ended) / (until - since)

    settled = begun - 2 / 3 * _HEAD_START
    return Row(alone, burdened, beside, taken, rate(settled, begun), rate(begun, min(begun + seconds, ended)))


def measure(folder: Path, rows: list[str], loops: int, seconds: float, idle: bool) -> dict[str, Row]:
    """By row; see `saturate`."""
    workload = Workload(folder)
    workload.make()
    add_keys(workload)
    results = {}
    context = multiprocessing.get_context("spawn")
    with TrivetServer(workload) as server, ProcessPoolExecutor(1, mp_context=context) as process:
        with Client(Target(server.target.address, server.target.admin_address, "operator"), timeout=300) as client:
            list(client.build_index(INDEX))
        where = Where(server.target.address, server.target.admin_address)
        process.submit(saturate, where, rows[0], 1, 0.1, False).result()  # it is started, and the server warm
        for row in rows:
            results[row] = _row(where, row, loops, seconds, process, idle)
    return results
