"""What a hostile client sends: each kind of request as the bytes that go over the wire, and what may be answered."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from benchmarks.hostile.documents import documents
from benchmarks.hostile.kind import BAD, BUSY, HARMLESS, LATE, SERVED, TOO_LONG, UNREADABLE, Kind, same
from benchmarks.hostile.schemas import ENDLESS, SCHEMAS
from benchmarks.measuring.wire import ADMIN, INFERENCE, schema_struct
from benchmarks.measuring.workload import INDEX, PLAIN_ROUTE, SEARCH_ROUTE
from trivet.api.v1 import inference_pb2


def kinds() -> list[Kind]:
    """All of them; the first one is harmless, to compare with."""
    return [
        _generate(HARMLESS, SERVED),
        *_routes(),
        *_lists(),
        *_texts(),
        *_numbers(),
        *_schemas(),
        *_searches(),
        *_wire(),
        *documents(),
        *_times(),
    ]


def _generate(name: str, *answers: str, content: str = "Hello.", **fields: Any) -> Kind:
    """A request that is legal but for what `fields` change."""
    messages = fields.pop("messages", [inference_pb2.Message(role="user", content=content)])
    request = inference_pb2.GenerateRequest(**{"route": PLAIN_ROUTE, "messages": messages, "max_tokens": 4, **fields})
    return Kind(name, f"/{INFERENCE}/Generate", same(request), frozenset(answers))


def _routes() -> Iterator[Kind]:
    yield _generate("a route's name of 4 MB", BAD, route="r" * (4 << 20))
    yield _generate("a route that does not exist", "UNKNOWN_ROUTE", route="no-such-route")
    yield _generate("no route", BAD, route="")
    yield _generate("a route's name of control characters", "UNKNOWN_ROUTE", BAD, route="\x00\x1b[2J\n" * 20)
    yield _generate("a unit of 1 MB", BAD, unit_id="u" * (1 << 20))


def _lists() -> Iterator[Kind]:
    yield _generate("10,000 labels", BAD, labels={f"l{i}": "x" for i in range(10_000)})
    yield _generate("a label of 1 MB", BAD, labels={"l": "x" * (1 << 20)})
    yield _generate("a label's name of 1 MB", BAD, labels={"l" * (1 << 20): "x"})
    yield _generate("16,000 unknown variables", BAD, variables={f"v{i}": "x" for i in range(16_000)})
    yield _generate("40 unknown variables", BAD, variables={f"variable-{i:03}": "x" * 50 for i in range(40)})
    yield _generate("a variable's name of 100 KB", BAD, variables={"v" * 100_000: "x"})
    yield _generate("10,000 stop strings", BAD, stop=[f"s{i}" for i in range(10_000)])
    yield _generate("a stop string of 1 MB", BAD, stop=["s" * (1 << 20)])
    yield _generate("empty stop strings", BAD, stop=["", ""])
    for tags in (300_000, 20_000):
        yield _generate(f"a filter of {tags:,} tags", BAD, retrieval=_filter([f"t{i}" for i in range(tags)]))
    yield _generate("a tag of 1 MB in the filter", BAD, retrieval=_filter(["t" * (1 << 20)]))
    yield _generate("a condition on 100,000 values", BAD, retrieval=_where({"field": "x", "in": ["v"] * 100_000}))
    yield _generate("conditions nested 30 deep", BAD, retrieval=_where(_negated(30)))
    turn = inference_pb2.Message(role="user", content="")
    yield _generate("100,000 empty messages", BAD, messages=[turn] * 100_000)
    yield _generate("257 messages", BAD, messages=[inference_pb2.Message(role="user", content="x")] * 257)
    yield _generate("a role of 1 MB", BAD, messages=[inference_pb2.Message(role="r" * (1 << 20), content="x")])
    yield _generate("the assistant's turn last", BAD, messages=[inference_pb2.Message(role="assistant", content="x")])


def _filter(tags: list[str]) -> inference_pb2.RetrievalOptions:
    return inference_pb2.RetrievalOptions(filter=tags)


def _where(where: dict[str, Any]) -> inference_pb2.RetrievalOptions:
    return inference_pb2.RetrievalOptions(where=where)


def _negated(depth: int) -> dict[str, Any]:
    where: dict[str, Any] = {"field": "x", "exists": True}
    for _ in range(depth):
        where = {"not": where}
    return where


def _texts() -> Iterator[Kind]:
    for name, unit, size in (
        ("7.5 MB of one letter", "x", 7_500_000),
        ("1.5 MB of words", "the quick brown fox ", 1_500_000),
        ("200 KB of digits", "0123456789", 200_000),
        ("300 KB of blanks and newlines", " \n", 300_000),
        ("300 KB of combining marks", "a\u0301\u0301\u0301", 150_000),
        ("400 KB of emoji", "\U0001f600", 100_000),
        ("300 KB of template markers", "<|im_end|>\n<|im_start|>system\n", 300_000),
        ("200 KB of brackets", "[1] ", 200_000),
        ("100 KB of zero bytes", "\0", 100_000),
    ):
        yield _generate(name, TOO_LONG, BAD, content=(unit * (size // len(unit) + 1))[:size])
    yield _generate("1 MB of blanks alone", BAD, TOO_LONG, content=" " * (1 << 20))
    yield _generate("9 MB, which is over the limit of a message", "MESSAGE_TOO_LARGE", content="x" * (9 << 20))
    yield _generate("the longest text that is searched for", TOO_LONG, SERVED, route=SEARCH_ROUTE, content="x_y." * 600)


def _numbers() -> Iterator[Kind]:
    yield _generate("temperature not a number", BAD, temperature=math.nan)
    yield _generate("temperature infinite", BAD, temperature=math.inf)
    yield _generate("a negative seed", BAD, seed=-1)
    yield _generate("the largest seed", SERVED, BAD, seed=2**63 - 1)
    yield _generate("the largest max_tokens", SERVED, max_tokens=2**31 - 1, stop=["e", "a", "i", "o", " "])
    yield _generate("max_tokens below 0", BAD, max_tokens=-5)
    yield _generate("top_k 0", BAD, retrieval=inference_pb2.RetrievalOptions(top_k=0))
    yield _generate("the largest top_k", BAD, retrieval=inference_pb2.RetrievalOptions(top_k=2**31 - 1))


def _schemas() -> Iterator[Kind]:
    for name, schema in SCHEMAS.items():
        yield _generate(f"schema: {name}", BAD, json_schema=schema_struct(schema))
    for name, schema in ENDLESS.items():
        yield _generate(f"schema: {name}", BAD, SERVED, json_schema=schema_struct(schema))

    def fresh(number: int) -> bytes:
        """Legal, and never seen before: what the compilation costs is asked for each time."""
        values = [f"value {number} {i}" for i in range(200)]
        message = inference_pb2.Message(role="user", content="Hello.")
        return bytes(
            inference_pb2.GenerateRequest(
                route=PLAIN_ROUTE, messages=[message], max_tokens=4, json_schema=schema_struct({"enum": values})
            ).SerializeToString()
        )

    answers = frozenset({SERVED, "OVERLOADED"})
    yield Kind("schema: legal, and another each time", f"/{INFERENCE}/Generate", fresh, answers)


def _retrieve(name: str, *answers: str, **fields: Any) -> Kind:
    request = inference_pb2.RetrieveRequest(**{"route": SEARCH_ROUTE, **fields})
    return Kind(name, f"/{INFERENCE}/Retrieve", same(request), frozenset(answers))


def _searches() -> Iterator[Kind]:
    yield _retrieve("search: 1 MB", BAD, text="x" * (1 << 20))
    yield _retrieve("search: 100,000 letters", BAD, text="x" * 100_000)
    yield _retrieve("search: 8,000 letters", SERVED, BUSY, text="x" * 8_000)
    yield _retrieve("search: 8,000 hex digits", SERVED, BUSY, text="0123456789abcdef" * 500)
    yield _retrieve("search: 8,000 characters of names", SERVED, BUSY, text="a.b_c-" * 1_333)
    yield _retrieve("search: 8,000 combining marks", SERVED, BUSY, text="a" + "\u0301" * 7_999)
    yield _retrieve("search: blanks", BAD, text=" \n\t" * 100)
    yield _retrieve("search: 20,000 tags", BAD, text="hub", filter=[f"t{i}" for i in range(20_000)])
    yield _retrieve("search: a route and an index", BAD, "PERMISSION_DENIED", text="hub", index=INDEX)
    yield _retrieve(
        "search: an index without an operator's key", "PERMISSION_DENIED", text="hub", index=INDEX, route=""
    )


def _wire() -> Iterator[Kind]:
    generate, receipt = f"/{INFERENCE}/Generate", f"/{INFERENCE}/GetReceipt"
    bad, unreadable, legal = frozenset({BAD}), frozenset({UNREADABLE}), _generate("", SERVED).payload
    yield Kind("bytes that are no message", generate, lambda _: b"\xff" * 1000, unreadable)
    yield Kind("text that is not UTF-8", generate, lambda _: b"\x0a\x04\xff\xfe\xfd\xfc", unreadable)
    yield Kind("no bytes at all", generate, lambda _: b"", bad)
    yield Kind("a message cut short", generate, lambda _: legal(0)[:-3], unreadable)
    yield Kind("lists nested 40 deep", generate, lambda _: _nested(40), bad | {SERVED})
    yield Kind("a method that does not exist", f"/{INFERENCE}/Nothing", legal, frozenset({"UNIMPLEMENTED"}))
    yield Kind("a key that is not known", generate, legal, frozenset({"UNAUTHENTICATED"}), metadata=_key("x" * 4000))
    yield Kind("a priority of 99", generate, legal, bad, metadata={"x-trivet-priority": "99"})
    odd = {"x-request-id": "../" * 500, "x-trivet-priority": "0"}
    yield Kind("a request id of odd characters", generate, legal, frozenset({SERVED, BAD}), metadata=odd)
    unknown = inference_pb2.GetReceiptRequest(request_id="not-there")
    yield Kind("a receipt that does not exist", receipt, same(unknown), frozenset({"NOT_FOUND"}))
    long = inference_pb2.GetReceiptRequest(request_id="r" * (1 << 20))
    yield Kind("a receipt's id of 1 MB", receipt, same(long), bad)
    routes = f"/{ADMIN}/ListRoutes"
    yield Kind("an operator's call", routes, lambda _: b"", frozenset({"PERMISSION_DENIED"}))


def _key(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def _nested(depth: int) -> bytes:
    """A schema of lists in lists. Each is two messages of protobuf's, which refuses a hundred in one another."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return _generate("", json_schema=schema_struct({"enum": value})).payload(0)


def _times() -> Iterator[Kind]:
    legal = _generate("", content="Tell me a story.", max_tokens=64).payload
    generate, late = f"/{INFERENCE}/Generate", frozenset({LATE})
    yield Kind("a deadline of 1 ms", generate, legal, late, seconds=0.001)
    yield Kind("a deadline of 30 ms", generate, legal, late | {SERVED}, seconds=0.03)
    yield Kind("a client that goes away", generate, legal, frozenset({"CANCELLED"}), abandon=True)
