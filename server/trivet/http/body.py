"""Bodies of requests: bounded in bytes and time, parsed off the event loop where they are large."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from trivet.errors import DeadlineExceeded, InvalidRequest, MessageTooLarge
from trivet.excerpt import shortened

LARGE = 32 << 10  # bytes; a smaller one is parsed in less than a millisecond
_MOST_PROBLEMS = 16
_Body = TypeVar("_Body", bound=BaseModel)


async def read_body(request: Request, model: type[_Body], limit: int, timeout: float) -> _Body:
    """The body as `model`. Raises InvalidRequest that names the wrong fields, MessageTooLarge, DeadlineExceeded for a
    client that does not send it within `timeout` seconds, CancelledError for one that has gone."""
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
    try:
        if len(data) <= LARGE:
            return model.model_validate_json(data)
        return await asyncio.to_thread(model.model_validate_json, data)
    except ValidationError as error:
        raise InvalidRequest(_fields(error)) from None


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
                name += f".{part}" if name else part
        said = problem["msg"]
        if problem["type"] == "extra_forbidden":
            said = "unknown, expected a parameter that this server supports"
        elif problem["type"] == "missing":
            said = "is missing"
        found.setdefault(name or "body", said[:1].lower() + said[1:])
    return found
