"""Wrong requests: each has the status, the form and the name that OpenAI documents, with our reason beside it."""

from __future__ import annotations

from typing import Any

import grpc
import httpx

from tests.support.gateway.harness import Gateway
from trivet import errors
from trivet.http.failure import STATUSES, failure_of
from trivet.rpc.status import CODES

USER = {"role": "user", "content": "How long is the warranty?"}
SYSTEM = {"role": "system", "content": "Be brief."}
CHAT = {"model": "plain", "messages": [USER]}


def chat(**fields: Any) -> dict[str, Any]:
    return {**CHAT, **fields}


CASES: tuple[tuple[dict[str, Any], int, str, str | None], ...] = (
    (chat(model="no-such-route"), 404, "model_not_found", None),
    (chat(model=""), 400, "invalid_request", "model"),
    (chat(model=7), 400, "invalid_request", "model"),
    (chat(model="x" * 200), 400, "invalid_request", "model"),
    ({"messages": [USER]}, 400, "invalid_request", "model"),
    ({"model": "plain"}, 400, "invalid_request", "messages"),
    (chat(messages=[]), 400, "invalid_request", "messages"),
    (chat(messages="hello"), 400, "invalid_request", "messages"),
    (chat(messages=[USER] * 300), 400, "invalid_request", "messages"),
    (chat(messages=[{"role": "user", "content": ""}]), 400, "invalid_request", "messages[0].content"),
    (chat(messages=[{"role": "user", "content": 7}]), 400, "invalid_request", "messages[0].content"),
    (chat(messages=[{"role": "wizard", "content": "x"}]), 400, "invalid_request", "messages[0].role"),
    (chat(messages=[USER, {"role": "assistant", "content": "x"}]), 400, "invalid_request", "messages[1].role"),
    (
        chat(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]),
        400,
        "invalid_request",
        "messages[0].content",
    ),
    (chat(temperature=3), 400, "invalid_request", "temperature"),
    (chat(temperature="hot"), 400, "invalid_request", "temperature"),
    (chat(max_tokens=0), 400, "invalid_request", "max_tokens"),
    (chat(max_tokens=2**40), 400, "invalid_request", "max_tokens"),
    (chat(seed=-1), 400, "invalid_request", "seed"),
    (chat(stop=["a"] * 20), 400, "invalid_request", "stop"),
    (chat(stop=""), 400, "invalid_request", "stop"),
    (chat(n=2), 400, "invalid_request", "n"),
    (chat(n="two"), 400, "invalid_request", "n"),
    (chat(model="open", n=9), 400, "invalid_request", "n"),
    (chat(top_p=0.5), 400, "invalid_request", "top_p"),
    (chat(messages=[SYSTEM, USER]), 400, "invalid_request", "messages[0].role"),
    (chat(chat_template_kwargs={"a": 10**400}), 400, "invalid_request", "chat_template_kwargs"),
    (chat(chat_template_kwargs={"enable_thinking": True}), 400, "invalid_request", "chat_template_kwargs"),
    (chat(model="open", top_p=2), 400, "invalid_request", "top_p"),
    (chat(model="open", messages=[USER, SYSTEM, USER]), 400, "invalid_request", "messages[1].role"),
    (chat(logit_bias={"1": 1}), 400, "invalid_request", "logit_bias"),
    (chat(tools=[{"type": "function"}]), 400, "invalid_request", "tools[0].function"),
    (chat(tools=[{"type": "function", "function": {"name": "f"}}]), 400, "invalid_request", "tools"),
    (chat(tool_choice="required"), 400, "invalid_request", "tool_choice"),
    (chat(colour="red"), 400, "invalid_request", "colour"),
    (chat(metadata={"a": 7}), 400, "invalid_request", "metadata.a"),
    (chat(metadata={str(i): "x" for i in range(20)}), 400, "invalid_request", "metadata"),
    (chat(user="u" * 300), 400, "invalid_request", "user"),
    (chat(stream_options={"include_usage": True}), 400, "invalid_request", "stream_options"),
    (chat(response_format={"type": "yaml"}), 400, "invalid_request", "response_format.type"),
    (chat(response_format={"type": "json_schema"}), 400, "invalid_request", "response_format.json_schema"),
    (
        chat(response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "wish"}}}),
        400,
        "invalid_request",
        "response_format.json_schema.schema",
    ),
    (chat(trivet={"variables": {"mood": "good"}}), 400, "invalid_request", "trivet.variables.mood"),
    (chat(trivet={"retrieval": {"top_k": 1000}}), 400, "invalid_request", "trivet.retrieval.top_k"),
    (chat(messages=[{"role": "user", "content": "word " * 9000}]), 400, "context_length_exceeded", None),
)  # fmt: skip


async def test_wrong_requests(web: httpx.AsyncClient, served: Gateway) -> None:
    assert len(CASES) > 30
    for body, status, code, parameter in CASES:
        answer = await web.post("/v1/chat/completions", json=body)
        error = answer.json()["error"]
        told = (answer.status_code, error["code"], error["param"], error["type"])
        assert told == (status, code, parameter, "invalid_request_error"), (str(body)[:200], answer.text[:400])
        assert set(error) == {"message", "type", "param", "code", "trivet"}
        assert error["message"]
        assert error["trivet"]["request_id"] == answer.headers["x-request-id"]
        assert answer.headers["x-should-retry"] == "false"
        receipt = error["trivet"]["receipt"]
        assert (receipt["tenant"], receipt["code"]) == ("a", "NOT_FOUND" if status == 404 else "INVALID_ARGUMENT")
    assert served.backend.in_flight == 0
    assert not served.backend.requests, "none reached the engine"


async def test_all_wrong_fields_are_told_at_once(web: httpx.AsyncClient) -> None:
    answer = await web.post("/v1/chat/completions", json=chat(temperature=9, seed=-1, user="u" * 300))
    told = answer.json()["error"]
    assert set(told["trivet"]["fields"]) == {"user"}, "bounds come before anything is looked into"
    answer = await web.post("/v1/chat/completions", json=chat(temperature=9, seed=-1))
    assert set(answer.json()["error"]["trivet"]["fields"]) == {"temperature", "seed"}


async def test_what_is_no_request_at_all(web: httpx.AsyncClient) -> None:
    headers = {"content-type": "application/json"}
    for content in (
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"[" * 100_000,
        b'{"model": "plain", "messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"model": "\xff"}',
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b'{"temperature": NaN}',
        b'{"messages": [' + b"1," * 500_000 + b"1]}",
        b"{" + b",".join(b'"k%d": 1' % number for number in range(30_000)) + b"}",
    ):
        answer = await web.post("/v1/chat/completions", content=content, headers=headers)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "body"), content[:80]


async def test_other_kinds_of_bodies_and_too_large_ones(web: httpx.AsyncClient) -> None:
    form = await web.post("/v1/chat/completions", data={"model": "plain"})
    assert (form.status_code, form.json()["error"]["param"]) == (400, "content-type")
    large = await web.post("/v1/chat/completions", json=chat(messages=[{"role": "user", "content": "x" * (2 << 20)}]))
    assert (large.status_code, large.json()["error"]["code"]) == (400, "message_too_large")


async def test_no_credential_or_a_wrong_one(served: Gateway) -> None:
    for key in (None, "", "Bearer", "Bearer wrong", "Basic c2VjcmV0LWE6", "Bearer " + "x" * 5000):
        await refused_everywhere(served, {} if key is None else {"authorization": key})


async def refused_everywhere(served: Gateway, headers: dict[str, str]) -> None:
    async with httpx.AsyncClient(base_url=f"http://{served.http}", headers=headers) as asking:
        for answer in (
            await asking.post("/v1/chat/completions", content=b"{", headers={"content-type": "application/json"}),
            await asking.get("/v1/models"),
            await asking.post("/v1/retrieve", json={}),
            await asking.get("/v1/receipts/x"),
        ):
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "invalid_api_key"
            assert answer.headers["www-authenticate"] == "Bearer"


async def test_paths_and_methods_that_there_are_not(web: httpx.AsyncClient) -> None:
    assert (await web.get("/v1/nothing")).json()["error"]["code"] == "unknown_url"
    wrong = await web.get("/v1/chat/completions")
    assert wrong.status_code == 405
    assert wrong.headers["allow"] == "POST"


async def test_a_time_limit_that_is_none(web: httpx.AsyncClient) -> None:
    for timeout in ("soon", "-1", "1e9", "1" * 100):
        answer = await web.post("/v1/chat/completions", json=CHAT, headers={"x-trivet-timeout": timeout})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "x-trivet-timeout")


async def test_the_clients_time_limit_holds(web: httpx.AsyncClient, served: Gateway) -> None:
    served.backend.interval = 5
    answer = await web.post("/v1/chat/completions", json=CHAT, headers={"x-trivet-timeout": "0.1"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline_exceeded")
    assert answer.json()["error"]["trivet"]["receipt"]["code"] == "DEADLINE_EXCEEDED"
    assert served.backend.in_flight == 0


async def test_an_engine_that_is_down_is_told_with_when_to_come_back(web: httpx.AsyncClient, served: Gateway) -> None:
    served.backend.ready = False
    answer = await web.post("/v1/chat/completions", json=CHAT)
    assert answer.status_code == 503
    assert answer.json()["error"]["type"] == "server_error"


def test_every_error_has_a_status() -> None:
    assert set(CODES.values()) <= set(STATUSES)
    assert STATUSES[grpc.StatusCode.RESOURCE_EXHAUSTED] == 429


def test_an_unknown_exception_tells_nothing_but_the_request_id() -> None:
    failure = failure_of(RuntimeError("secret"), "r-1")
    assert failure.status == 500
    assert "secret" not in str(failure.body)
    assert "r-1" in failure.body["error"]["message"]


def test_overload_says_when_to_come_back() -> None:
    failure = failure_of(errors.Overloaded("requests", 4, 1.5), "r-1")
    assert failure.status == 429
    assert failure.headers == {"x-should-retry": "true", "retry-after": "2", "retry-after-ms": "1500"}
