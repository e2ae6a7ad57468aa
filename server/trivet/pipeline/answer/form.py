"""Whether an answer has the form that was asked for. Judges answers that were given; it never fails one."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import jsonschema  # type: ignore[import-untyped]

from trivet.types.answer import Choice
from trivet.types.generation import RequestedCall
from trivet.types.request import GenerateCall
from trivet.types.variant import Route, Variant

logger = logging.getLogger(__name__)

LONG = 4096  # characters; checking more would hold up every stream


async def format_valid(call: GenerateCall, route: Route, variant: Variant, choices: Sequence[Choice]) -> bool | None:
    """Whether all answers, whole, fit their JSON schema; None if there is none, and for what cannot be told."""
    found = [await _choice_valid(call, route, variant, one.text, one.tool_calls) for one in choices]
    return False if False in found else None if None in found else True


async def _choice_valid(
    call: GenerateCall, route: Route, variant: Variant, text: str, calls: Sequence[RequestedCall]
) -> bool | None:
    """Of one answer.

    The schema is the request's, else the variant's, else that of the stable variant of the route's rollout: a candidate
    that no longer promises the form is held against it all the same. A request's own schema comes from a stranger, and
    the engine has enforced it: there it is enough that the answer was not cut short. The same holds for calls that it
    has to be.
    """
    if call.required_calls is not None:
        whole = [await _checked(None, one.arguments) for one in calls]
        return bool(whole) and all(whole)
    if call.json_schema is not None:
        return await _checked(None, text)
    schema = variant.json_schema
    if schema is None and route.rollout is not None:
        schema = route.variants[route.rollout.stable].json_schema
    return None if schema is None else await _checked(schema, text)


async def _checked(schema: Mapping[str, Any] | None, text: str) -> bool | None:
    return await asyncio.to_thread(_fits, schema, text) if len(text) > LONG else _fits(schema, text)


def _fits(schema: Mapping[str, Any] | None, text: str) -> bool | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    if schema is None:
        return True
    try:
        return bool(jsonschema.Draft202012Validator(dict(schema)).is_valid(value))
    except RecursionError:
        return False
    except Exception:
        logger.exception("an answer's form could not be checked")
        return None
