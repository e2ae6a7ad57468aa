"""Bodies of requests: bounded in bytes, time and values, parsed off the event loop where they are large.

The parser and the check of the form hold the interpreter while they run, and make something of each value and of each
that is wrong. So a body with more values than any request needs is refused by counting.
"""

from __future__ import annotations

import asyncio
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.requests import ClientDisconnect, Request

from trivet.errors import DeadlineExceeded, InvalidRequest, MessageTooLarge
from trivet.excerpt import shortened

LARGE = 32 << 10  # bytes; a smaller one is parsed in less than a millisecond
MOST_VALUES = 20_000
MOST_MARKS = 400_000  # a long text has commas of its own
MOST_ESCAPES = 300_000  # a book has 40,000 lines
MOST_OTHER_BYTES = 2 << 20  # of text beyond ASCII: 700,000 characters of Chinese
_MARKS = (b"{", b"[", b'":', b",")
_PIECE = 128 << 10  # bytes that are counted at once: the interpreter is not given to others within
_ASCII = bytes(range(128))
_MOST_FIELDS = 256
_MOST_PROBLEMS = 16
_MOST_ERRORS = 500  # that are looked through for the first ones to tell
_NAME = 64  # characters of a name that the client chose
_Body = TypeVar("_Body", bound=BaseModel)


async def read_body(request: Request, model: type[_Body], limit: int, timeout: float) -> tuple[_Body, bool]:
    """The body as `model`, and whether it is large: what is made of it then takes long, too.

    Raises InvalidRequest that names the wrong fields, MessageTooLarge, DeadlineExceeded for a client that does not send
    it within `timeout` seconds, CancelledError for one that has gone."""
    content = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if content != "application/json" and not content.endswith("+json"):
        raise InvalidRequest({"content-type": f"expected application/json, got {shortened(content, 64)}"})
    try:
        async with asyncio.timeout(timeout):
            data = await _read(request, limit)
    except TimeoutError as error:
        raise DeadlineExceeded(f"the request's body did not arrive within {timeout:g} s") from error
    except ClientDisconnect as error:
        raise asyncio.CancelledError from error
    if len(data) <= LARGE:
        return _parsed(model, data), False
    return await asyncio.to_thread(_parsed, model, data), True


def _parsed(model: type[_Body], data: bytes) -> _Body:
    _check_effort(data)
    try:
        value = from_json(data, allow_inf_nan=False, cache_strings="none")
    except ValueError as error:
        raise InvalidRequest({"body": f"is no JSON: {shortened(str(error), 200)}"}) from None
    if _has_more_values(value, MOST_VALUES):
        raise InvalidRequest({"body": f"has more than {MOST_VALUES:,} values"})
    if isinstance(value, dict) and len(value) > _MOST_FIELDS:
        raise InvalidRequest({"body": f"has more than {_MOST_FIELDS} fields"})
    try:
        return model.model_validate(value)
    except ValidationError as error:
        if error.error_count() > _MOST_ERRORS:
            raise InvalidRequest({"body": f"has {error.error_count():,} wrong or unknown values"}) from None
        raise InvalidRequest(_fields(error)) from None


def _check_effort(data: bytes) -> None:
    """InvalidRequest for a body that would hold the interpreter for long: the parser does not let go of it within.

    Plain text costs next to nothing; values, escapes and text beyond ASCII cost 10 to 50 ns each.
    """
    marks = escapes = others = 0
    for start in range(0, len(data), _PIECE):
        piece = data[start : start + _PIECE]
        marks += sum(piece.count(mark) for mark in _MARKS)
        escapes += piece.count(b"\\")
        if not piece.isascii():
            others += len(piece.translate(None, _ASCII))
    for count, most, name in (
        (marks, MOST_MARKS, "brackets, colons and commas"),
        (escapes, MOST_ESCAPES, "backslashes"),
        (others, MOST_OTHER_BYTES, "bytes of text beyond ASCII"),
    ):
        if count > most:
            raise InvalidRequest({"body": f"has more than {most:,} {name}"})


def _has_more_values(value: object, most: int) -> bool:
    """Counts containers by their lengths, and stops as soon as it is known."""
    seen, waiting = 0, [value]
    while waiting and seen <= most:
        one = waiting.pop()
        if isinstance(one, dict | list):
            seen += len(one)
            if seen <= most:
                waiting.extend(one.values() if isinstance(one, dict) else one)
    return seen > most


async def _read(request: Request, limit: int) -> bytes:
    told = request.headers.get("content-length", "")
    if told.isdigit() and len(told) < 20 and int(told) > limit:
        raise MessageTooLarge(int(told), limit)
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > limit:
            raise MessageTooLarge(len(data), limit)
    return bytes(data)


def _fields(error: ValidationError) -> dict[str, str]:
    """Each wrong field and what is wrong with it; of a union's branches the one that came furthest."""
    found: dict[str, str] = {}
    for problem in error.errors(include_url=False, include_context=False, include_input=False)[:_MOST_PROBLEMS]:
        name = ""
        for part in problem["loc"]:
            if isinstance(part, int):
                name += f"[{part}]"
            elif part.isidentifier():
                part = shortened(part, _NAME)
                name += f".{part}" if name else part
        said = problem["msg"]
        if problem["type"] == "extra_forbidden":
            said = "unknown, expected a parameter that this server supports"
        elif problem["type"] == "missing":
            said = "is missing"
        found.setdefault(name or "body", said[:1].lower() + said[1:])
    return found
