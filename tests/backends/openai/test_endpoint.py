"""The backend against an endpoint that answers well, badly, slowly, or not at all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests.support.engine.fixtures import collect
from tests.support.engine.scripted_endpoint import (
    DONE,
    HEAD,
    IDS,
    WHOLE,
    Endpoint,
    Script,
    answers,
    endpoint,
    event,
    said,
    status,
)
from trivet.backends.openai import OpenAiEndpoint
from trivet.errors import BackendUnavailable, GenerationFailed, InvalidRequest, NotFound, Overloaded, PromptTooLong
from trivet.types.generation import BackendRequest, FinishReason
from trivet.types.request import Message, Tool
from trivet.types.variant import Sampling

ASK = BackendRequest(
    "r1",
    (1, 2, 3, 4),
    Sampling(max_tokens=16, top_k=5),
    messages=(Message("system", "Be kind."), Message("user", "Hi")),
)


@asynccontextmanager
async def started(served: Endpoint, **changes: Any) -> AsyncIterator[OpenAiEndpoint]:
    backend = OpenAiEndpoint(served.settings(**changes))
    try:
        await backend.start()
        yield backend
    finally:
        await backend.close()


def same_tokenizer() -> Script:
    return status(200, {"tokens": list(IDS)})


async def test_messages_go_to_an_endpoint_that_knows_no_ids() -> None:
    async with endpoint() as served, started(served) as backend:
        assert (backend.token_ids, backend.context_tokens, backend.incarnation) == (False, 512, 1)
        chunks = await collect(backend, ASK)
        assert "".join(chunk.text for chunk in chunks) == "one two"
        assert (chunks[-1].finish, chunks[-1].input_tokens, chunks[-1].answer_tokens) == (FinishReason.STOP, 5, 2)
        (body,) = served.generations
        assert body["messages"] == [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
        assert body["max_tokens"] == 16
        assert not {"prompt", "top_k", "cache_salt"} & body.keys()
        path, headers, _ = served.asked[-1]
        assert path == "/v1/chat/completions"
        assert headers["authorization"] == "Bearer sk-test"


async def test_ids_go_to_an_endpoint_with_the_same_tokenizer() -> None:
    async with endpoint() as served:
        served.tokenize = same_tokenizer()
        async with started(served) as backend:
            assert backend.token_ids
            request = BackendRequest("r1", (1, 2, 3, 4), Sampling(top_k=5, stop=("\n",), seed=3), cache_salt="acme")
            await collect(backend, request)
            await collect(backend, request)
            first, second = served.generations
            assert served.asked[-1][0] == "/v1/completions"
            assert (first["prompt"], first["top_k"], first["stop"], first["seed"]) == ([1, 2, 3, 4], 5, ["\n"], 3)
            assert first["cache_salt"] == second["cache_salt"]
            assert "acme" not in first["cache_salt"]


async def test_another_tokenizer_gets_no_ids() -> None:
    async with endpoint() as served:
        served.tokenize = status(200, {"tokens": [1]})
        async with started(served) as backend:
            assert not backend.token_ids
        with pytest.raises(BackendUnavailable, match="another tokenizer"):
            async with started(served, token_ids=True):
                pass


@pytest.mark.parametrize(
    ("models", "told"),
    [
        (status(200, {"data": [{"id": "other"}]}), "does not list 'm'; it lists 'other'"),
        (status(200, {"data": [{"id": "m"}]}), "expected max_model_len"),
        (status(401), "does not accept the gateway's key"),
        (status(503), "answered with 503"),
        (answers(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (5 << 20)), "more than"),
        (answers(b"nonsense"), "cannot be asked"),
    ],
)
async def test_a_start_that_fails_says_why(models: Script, told: str) -> None:
    async with endpoint() as served:
        served.models = models
        backend = OpenAiEndpoint(served.settings())
        with pytest.raises(BackendUnavailable, match=told):
            await backend.start()
        assert not backend.ready
        with pytest.raises(BackendUnavailable, match="backend api is down"):
            await collect(backend, ASK)


@pytest.mark.parametrize(
    ("script", "kind", "told"),
    [
        (answers(HEAD + said("one ")), BackendUnavailable, "broke the answer off"),
        (answers(HEAD + said("one ") + DONE), BackendUnavailable, "broke the answer off"),
        (answers(HEAD + said("one ")[:20]), BackendUnavailable, "broke the answer off"),
        (answers(HEAD + b"data: " + b"x" * (1 << 20)), BackendUnavailable, "what is no answer"),
        (answers(HEAD + b"data: {\n\n"), BackendUnavailable, "what is no answer"),
        (
            answers(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{}"),
            BackendUnavailable,
            "does not stream",
        ),
        (answers(HEAD + event(error={"code": 500})), GenerationFailed, "gave the answer up"),
        (answers(HEAD + said("x", "content_filter")), GenerationFailed, "content_filter"),
        (answers(b""), BackendUnavailable, "broke the connection off"),
        (status(400, {"error": {"message": "no"}}), InvalidRequest, "no"),
        (status(429, retry_after="9"), Overloaded, "retry in 9 s"),
        (status(500), BackendUnavailable, "500"),
    ],
)
async def test_what_goes_wrong_is_told_and_asked_once(script: Script, kind: type[Exception], told: str) -> None:
    async with endpoint() as served, started(served) as backend:
        served.scripts = [script]
        with pytest.raises(kind, match=told):
            await collect(backend, ASK)
        assert len(served.generations) == 1
        served.scripts = [answers(WHOLE)]
        assert "".join(chunk.text for chunk in await collect(backend, ASK)) == "one two"


async def test_an_endpoint_that_is_busy_for_a_moment_is_asked_once_more() -> None:
    async with endpoint() as served, started(served) as backend:
        served.scripts = [status(503, retry_after="0"), answers(WHOLE)]
        assert "".join(chunk.text for chunk in await collect(backend, ASK)) == "one two"
        assert len(served.generations) == 2
        served.scripts = [status(503)]
        with pytest.raises(BackendUnavailable):
            await collect(backend, ASK)
        assert len(served.generations) == 4
        served.scripts = [status(503, retry_after="60")]
        with pytest.raises(BackendUnavailable) as refused:
            await collect(backend, ASK)
        assert refused.value.retry_after == 60
        assert len(served.generations) == 5


async def stalls(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + said("one "))
    await writer.drain()
    await asyncio.sleep(60)


async def test_a_stall_is_left_and_an_answer_without_its_end_is_whole() -> None:
    async def unended(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + said("one ") + said("two", "stop"))
        await writer.drain()
        await asyncio.sleep(60)

    async with endpoint() as served, started(served, idle_timeout=0.1) as backend:
        served.scripts = [stalls, unended]
        with pytest.raises(BackendUnavailable, match="stalled"):
            await collect(backend, ASK)
        chunks = await collect(backend, ASK)
        assert (chunks[-1].finish, chunks[-1].estimated) == (FinishReason.STOP, True)


async def test_one_who_leaves_closes_the_connection() -> None:
    async with endpoint() as served, started(served) as backend:
        served.scripts = [stalls]
        async with aclosing(backend.generate(ASK)) as chunks:
            assert (await anext(chunks)).text == "one "
            assert not served.left.is_set()
        async with asyncio.timeout(60):
            await served.left.wait()
        assert backend.ready


async def test_connections_are_bounded() -> None:
    async with endpoint() as served, started(served, max_connections=1, connect_timeout=0.2) as backend:
        served.scripts = [stalls]
        async with aclosing(backend.generate(ASK)) as chunks:
            await anext(chunks)
            with pytest.raises(Overloaded, match="limit 1"):
                await collect(backend, ASK)


async def test_failures_in_a_row_take_it_down_until_it_is_started_again() -> None:
    async with endpoint() as served, started(served, max_failures=2) as backend:
        served.scripts = [status(500), answers(WHOLE), status(500)]
        for fails in (True, False, True):
            if fails:
                with pytest.raises(BackendUnavailable):
                    await collect(backend, ASK)
            else:
                await collect(backend, ASK)
            assert backend.ready
        with pytest.raises(BackendUnavailable):
            await collect(backend, ASK)
        async with asyncio.timeout(60):
            told = await backend.death()
        assert not backend.ready
        assert "2 requests in a row failed" in told
        assert "a trial: the endpoint of backend api answered with 500" in told
        assert served.generations[-1]["messages"] == [{"role": "user", "content": "Hello"}]
        assert served.generations[-1]["max_tokens"] == 1
        served.scripts = [answers(WHOLE)]
        await backend.start()
        assert backend.incarnation == 2
        await collect(backend, ASK)


async def test_mistakes_of_clients_never_take_it_down() -> None:
    async with endpoint() as served, started(served, max_failures=1) as backend:
        for script in (status(400), status(429), answers(HEAD + said("x", "content_filter"))):
            served.scripts = [script]
            with pytest.raises((InvalidRequest, Overloaded, GenerationFailed)):
                await collect(backend, ASK)
        assert backend.ready


@pytest.mark.parametrize("code", [500, 403, 404])
async def test_requests_that_it_cannot_bear_do_not_take_it_from_others(code: int) -> None:
    """Its grammar compiler falls over a client's schema, or it finds what a client says improper."""
    async with endpoint() as served, started(served, max_failures=2) as backend:
        served.scripts = [answers(WHOLE)]
        served.refused = ("response_format", status(code))
        bad = replace(ASK, json_schema={"type": "object"})
        for _ in range(12):
            with pytest.raises(BackendUnavailable, match=str(code)):
                await collect(backend, bad)
        async with asyncio.timeout(60):
            while not any(asked["max_tokens"] == 1 for asked in served.generations):
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        for _ in range(4):
            with pytest.raises(BackendUnavailable, match=str(code)):
                await collect(backend, bad)
        assert backend.ready
        await collect(backend, ASK)
        trials = [asked for asked in served.generations if asked["max_tokens"] == 1]
        assert len(trials) == 1, "what clients provoke costs little"


async def test_a_trial_that_is_under_way_ends_with_it() -> None:
    async with endpoint() as served, started(served, max_failures=1) as backend:
        served.scripts = [status(500), stalls]
        with pytest.raises(BackendUnavailable):
            await collect(backend, ASK)
        async with asyncio.timeout(60):
            while len(served.generations) < 2:
                await asyncio.sleep(0.01)
            await backend.close()
            await served.left.wait()
        served.scripts = [answers(WHOLE)]
        await backend.start()
        await collect(backend, ASK)


async def test_a_key_that_is_withdrawn_takes_it_down(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with endpoint() as served, started(served) as backend:
        served.scripts = [status(401, {"error": {"message": "Incorrect key sk-test"}})]
        with pytest.raises(BackendUnavailable, match="does not accept"):
            await collect(backend, ASK)
        async with asyncio.timeout(60):
            await backend.death()
    assert "sk-test" not in caplog.text


async def test_it_is_looked_at_while_nobody_asks() -> None:
    async with endpoint() as served:
        served.health = status(200)
        async with started(served, health_interval=0.02) as backend:
            assert backend.ready
            served.health = status(503)
            async with asyncio.timeout(60):
                assert "503" in await backend.death()


async def test_what_cannot_be_asked_for_is_refused_before_it_is_sent() -> None:
    async with endpoint() as served, started(served) as backend:
        for changed, kind in (
            ({"adapter": "a@1#b"}, NotFound),
            ({"tools": (Tool("f"),)}, InvalidRequest),
            ({"sampling": Sampling(max_reasoning_tokens=1)}, InvalidRequest),
            ({"token_ids": tuple(range(512))}, PromptTooLong),
        ):
            request: Any = {"request_id": "r", "token_ids": (1,), "sampling": Sampling(), **changed}
            with pytest.raises(kind):
                await collect(backend, BackendRequest(**request))
        assert not served.generations
