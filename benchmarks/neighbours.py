"""One tenant takes all that it can of one thing; what another tenant, who asks for the same one at a time, feels of it.

    python benchmarks/neighbours.py                                  all rows, some five minutes
    python benchmarks/neighbours.py --rows searches --seconds 5

How it is measured: one server with the handbook's index and a key for each tenant. For each row tenant B asks one
request after the other, first alone, then beside tenant A's closed loops (`--loops` of them, in another process).
Times are B's, from the request to the end of its answer; only answered ones count, and every refusal is told.

What it does not show: a large model, a network. Both tenants' clients run on the same cores as the server.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import grpc

import machine
from hostile import add_keys
from hostile_kinds import ADMIN, INFERENCE, schema_struct
from hostile_report import quantile
from servers import TrivetServer
from trivet.api.v1 import admin_pb2, inference_pb2
from trivet.client import Client, Target
from workload import INDEX, PLAIN_ROUTE, ROOT, SEARCH_ROUTE, Workload

ROWS = ("generations", "searches", "grammars", "writes", "uploads", "connections")
A, B = "hostile", "neighbour"
_HEAD_START = 3.0  # seconds that A is at it before B's times count


@dataclass
class Loop:
    """What one client did: seconds of what was answered, and how often it was refused with which code."""

    seconds: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)


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


def saturate(where: Where, row: str, loops: int, seconds: float) -> Loop:
    """Tenant A, in its own process."""

    async def run() -> Loop:
        together, until = Loop(), time.monotonic() + seconds
        names = [f"{A} {number}" for number in range(loops)]
        waiting: list[Awaitable[None]] = [run_loop(where, row, name, together, until) for name in names]
        await asyncio.gather(*waiting)
        return together

    return asyncio.run(run())


def measure(folder: Path, rows: list[str], loops: int, seconds: float) -> dict[str, tuple[Loop, Loop, Loop]]:
    """B alone, B beside A, and A, by row."""
    workload = Workload(folder)
    workload.make()
    add_keys(workload)
    results = {}
    context = multiprocessing.get_context("spawn")
    with TrivetServer(workload) as server, ProcessPoolExecutor(1, mp_context=context) as process:
        with Client(Target(server.address, server.admin_address, "operator"), timeout=300) as client:
            list(client.build_index(INDEX))
        where = Where(server.address, server.admin_address)
        process.submit(saturate, where, rows[0], 1, 0.1).result()  # it is started, and the server warm
        for row in rows:
            alone, beside = Loop(), Loop()
            asyncio.run(run_loop(where, row, f"{B} alone", alone, time.monotonic() + seconds))
            taking = process.submit(saturate, where, row, loops, _HEAD_START + seconds)
            time.sleep(_HEAD_START)
            asyncio.run(run_loop(where, row, f"{B} beside", beside, time.monotonic() + seconds))
            results[row] = (alone, beside, taking.result())
    return results


def report(results: dict[str, tuple[Loop, Loop, Loop]], loops: int, described: dict[str, Any]) -> str:
    """Markdown."""
    lines = [
        "# Neighbours",
        "",
        f"Tenant A with {loops} closed loops, tenant B with one, on {described['cores']} cores ({described['cpu']}), "
        f"revision {described['revision']}, {described['date']}.",
        "",
        "| what A takes | B alone: p50, p99 (n) | B beside A: p50, p99 (n) | p99, times that alone | B refused | A "
        "| A refused |",
        "|---|---|---|---|---|---|---|",
    ]
    for row, (alone, beside, taking) in results.items():
        if not alone.seconds or not beside.seconds:
            lines.append(f"| {row} | {len(alone.seconds)} answers | {len(beside.seconds)} answers | | | | |")
            continue
        times = quantile(beside.seconds, 0.99) / quantile(alone.seconds, 0.99)
        lines.append(
            f"| {row} | {_shown(alone)} | {_shown(beside)} | {times:.2f} | {_refused(beside)} "
            f"| {len(taking.seconds)} answered | {_refused(taking)} |"
        )
    return "\n".join(lines) + "\n"


def _shown(loop: Loop) -> str:
    middle, high = quantile(loop.seconds, 0.5), quantile(loop.seconds, 0.99)
    return f"{middle * 1000:.1f}, {high * 1000:.1f} ms ({len(loop.seconds)})"


def _refused(loop: Loop) -> str:
    return ", ".join(f"{code} {times}" for code, times in sorted(loop.refused.items())) or "none"


def main() -> int:
    """Run it and print the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--loops", type=int, default=32, help="of tenant A (default: 32)")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each of B's two runs (default: 15)")
    given = parser.parse_args()
    described = machine.describe(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder), given.rows, given.loops, given.seconds)
    sys.stdout.write(report(results, given.loops, described))
    return 0


if __name__ == "__main__":
    sys.exit(main())
