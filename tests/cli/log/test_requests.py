"""What is logged for a request has its id, whichever door it came through."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import httpx
import pytest

from tests.support.gateway.harness import Gateway, gateway, request
from trivet.cli.console.log import JsonLines


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with gateway(tmp_path, http=True) as running:
        running.retriever.failure = RuntimeError("something that nobody thought of")
        yield running


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """The log as JSON lines."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonLines())
    logging.getLogger("trivet").addHandler(handler)
    yield written
    logging.getLogger("trivet").removeHandler(handler)


def failed(lines: io.StringIO) -> list[str]:
    """The ids of requests that failed, as the log has them."""
    events = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert all("nobody thought of" in event["traceback"] for event in events)
    return [event["request_id"] for event in events]


async def test_of_grpc(served: Gateway, lines: io.StringIO) -> None:
    for name in ("id-1", "id-2"):
        with pytest.raises(grpc.aio.AioRpcError):
            await served.stub.Generate(request("rag"), metadata=[("x-request-id", name)])
    assert failed(lines) == ["id-1", "id-2"]


async def test_of_http(served: Gateway, lines: io.StringIO) -> None:
    chat = {"model": "rag", "messages": [{"role": "user", "content": "hello"}]}
    async with httpx.AsyncClient(base_url=f"http://{served.http}", timeout=60) as web:
        for name in ("id-3", "id-4"):
            answer = await web.post("/v1/chat/completions", json=chat, headers={"x-request-id": name})
            assert answer.status_code == 500
    assert failed(lines) == ["id-3", "id-4"]
