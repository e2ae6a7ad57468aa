"""An endpoint's failures as ours.

Statuses: https://platform.openai.com/docs/guides/error-codes. What the endpoint says is shown, shortened, where the
request is at fault, and nowhere else: of a refused credential it may quote a part.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from trivet.errors import BackendUnavailable, GenerationFailed, InvalidRequest, Overloaded, PromptTooLong, TrivetError
from trivet.excerpt import masked, shortened

RETRY_AFTER = 1.0
LONGEST_RETRY_AFTER = 3600.0
_LONGEST = 300
_TOO_LONG = "context_length_exceeded"
_AT_FAULT = (400, 413, 422)


class Refused(BackendUnavailable):
    """The endpoint does not let the gateway in, or has no such model: it is of no use until an operator acts."""


def failure_of_status(status: int, body: bytes, headers: Mapping[str, str], backend: str) -> TrivetError:
    """What an answer with a status other than 200 means for the request."""
    wait = retry_after(headers.get("retry-after"))
    if status in (401, 403):
        return Refused(f"the endpoint of backend {backend} does not accept the gateway's key ({status})", RETRY_AFTER)
    if status == 404:
        told = f"the endpoint of backend {backend} does not know the model or the path (404)"
        return Refused(told, RETRY_AFTER)
    if status == 429:
        return Overloaded(f"requests at the endpoint of backend {backend}", 0, wait or RETRY_AFTER)
    if status in _AT_FAULT:
        return _of_request(_error_of(body))
    return BackendUnavailable(f"the endpoint of backend {backend} answered with {status}", wait or RETRY_AFTER)


def failure_in_stream(error: Any) -> TrivetError:
    """What an error means that comes instead of an answer's next piece; vLLM tells so what its engine finds."""
    told = error if isinstance(error, dict) else {"message": error}
    if told.get("code") in _AT_FAULT or told.get("code") == _TOO_LONG:
        return _of_request(told)
    return GenerationFailed("the endpoint gave the answer up")


def retry_after(value: str | None) -> float | None:
    """Seconds that a Retry-After header asks for (RFC 9110, 10.2.3): a number or a date; None for anything else."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER) if seconds == seconds else None


def _of_request(told: Mapping[str, Any]) -> TrivetError:
    message = told.get("message")
    said = shortened(masked(message), _LONGEST) if isinstance(message, str) else "no reason is given"
    if told.get("code") == _TOO_LONG or "maximum context length" in said:
        return PromptTooLong(f"the endpoint refuses the prompt's length: {said}")
    return InvalidRequest({"request": f"the endpoint refuses it: {said}"})


def _error_of(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    error = found.get("error", found) if isinstance(found, dict) else {}
    return error if isinstance(error, dict) else {"message": error}
