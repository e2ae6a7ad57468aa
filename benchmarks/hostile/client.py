"""The hostile client: sends kinds of requests by their bytes, from a process of its own."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from benchmarks.hostile.kind import REFUSED, SERVED, Kind
from benchmarks.hostile.kinds import kinds
from benchmarks.measuring.wire import ADMIN
from trivet.api.v1 import admin_pb2

IN_FLIGHT = 8
DETAILS_TRAILER = "grpc-status-details-bin"
_OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_metadata_size", 1 << 20)]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a request was answered with (see `Kind.answers`), and after how many seconds."""

    kind: str
    answer: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Where:
    """A server's listeners, and the hostile client's key."""

    address: str
    admin_address: str
    key: str


def in_own_process() -> ProcessPoolExecutor:
    """Where `send` is to run: a fork would take gRPC's threads along."""
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


def send(where: Where, order: Sequence[int], rate: float | None) -> list[Outcome]:
    """Send kinds by their number, `rate` a second, or one after the other where there is none; at most `IN_FLIGHT`
    are under way."""
    return asyncio.run(_send(where, order, rate))


async def _send(where: Where, order: Sequence[int], rate: float | None) -> list[Outcome]:
    known = kinds()
    places = asyncio.Semaphore(IN_FLIGHT if rate else 1)
    async with (
        grpc.aio.insecure_channel(where.address, options=_OPTIONS) as clients,
        grpc.aio.insecure_channel(where.admin_address, options=_OPTIONS) as operators,
    ):

        async def one(number: int, kind: Kind) -> Outcome:
            try:
                channel = operators if ADMIN in kind.method else clients
                return await _outcome(channel, kind, number, where.key)
            finally:
                places.release()

        begun, tasks = time.perf_counter(), []
        for number, at in enumerate(order):
            await places.acquire()
            if rate:
                await asyncio.sleep(max(0.0, begun + number / rate - time.perf_counter()))
            tasks.append(asyncio.create_task(one(number, known[at])))
        return list(await asyncio.gather(*tasks))


async def _outcome(channel: grpc.aio.Channel, kind: Kind, number: int, key: str) -> Outcome:
    metadata = {"authorization": f"Bearer {key}", **kind.metadata}
    payload, begun = kind.payload(number), time.perf_counter()
    try:
        if kind.streams:
            answer = await _stream(channel, kind, payload, metadata)
        else:
            method: Any = channel.unary_unary(kind.method)
            call = method(payload, timeout=kind.seconds, metadata=tuple(metadata.items()))
            if kind.abandon:
                await asyncio.sleep(0.01)
                call.cancel()
            await call
            answer = SERVED
    except grpc.aio.AioRpcError as error:
        answer = _reason(error)
    except asyncio.CancelledError:
        answer = "CANCELLED"
    return Outcome(kind.name, answer, time.perf_counter() - begun)


async def _stream(channel: grpc.aio.Channel, kind: Kind, payload: bytes, metadata: dict[str, str]) -> str:
    call: Any = channel.stream_stream(kind.method)(timeout=kind.seconds, metadata=tuple(metadata.items()))
    await call.write(payload)
    await call.done_writing()
    answer = SERVED
    while (message := await call.read()) is not grpc.aio.EOF:
        if admin_pb2.UpsertDocumentsResponse.FromString(message).HasField("error"):
            answer = REFUSED
    if (code := await call.code()) is not grpc.StatusCode.OK:
        raise grpc.aio.AioRpcError(code, await call.initial_metadata(), await call.trailing_metadata())
    return answer


def _reason(error: grpc.aio.AioRpcError) -> str:
    for name, value in error.trailing_metadata() or ():
        if name == DETAILS_TRAILER:
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info):
                    return str(info.reason)
    return str(error.code().name)
