"""LiteLLM as a client: see `told.py`."""

import asyncio
import json
from typing import Any

import litellm
from told import QUESTION, TOOL, Rated, tell, urls

real, scripted = urls()
ASK = [{"role": "user", "content": QUESTION}]
SUPPORT: dict[str, Any] = {"model": "openai/support", "api_base": real, "api_key": "none", "num_retries": 0}
OPEN: dict[str, Any] = {"model": "openai/open", "api_base": scripted, "api_key": "secret-a", "tools": [TOOL]}


def joined(pieces: Any) -> str:
    return "".join(piece.choices[0].delta.content or "" for piece in pieces)


async def ask() -> list[str]:
    made: Any = await litellm.acompletion(messages=ASK, **SUPPORT)
    pieces: Any = await litellm.acompletion(messages=ASK, stream=True, **SUPPORT)
    return [made.choices[0].message.content, joined([piece async for piece in pieces])]


def fails() -> str:
    try:
        litellm.completion(messages=ASK, **{**SUPPORT, "model": "openai/nothing"})
    except litellm.NotFoundError as error:
        return "model_not_found" if "nothing" in str(error) else str(error)
    return "did not fail"


def called(message: Any) -> list[Any]:
    return [[call.function.name, json.loads(call.function.arguments)] for call in message.tool_calls]


whole: Any = litellm.completion(messages=ASK, **SUPPORT)
parsed: Any = litellm.completion(messages=ASK, response_format=Rated, max_tokens=60, **SUPPORT)
asked: Any = litellm.completion(messages=ASK, **OPEN).choices[0].message
pieces = list(litellm.completion(messages=ASK, stream=True, **OPEN))
result = {"role": "tool", "tool_call_id": asked.tool_calls[0].id, "content": "red"}
answered: Any = litellm.completion(messages=[*ASK, asked.model_dump(), result], **OPEN)
tell(
    whole=whole.choices[0].message.content,
    stream=joined(litellm.completion(messages=ASK, stream=True, **SUPPORT)),
    asynchronous=asyncio.run(ask()),
    tokens=whole.usage.completion_tokens,
    parsed=list(Rated.model_validate_json(parsed.choices[0].message.content).model_dump()),
    calls=called(asked),
    streamed_calls=called(litellm.stream_chunk_builder(pieces).choices[0].message),
    after_a_call=bool(answered.choices[0].message.tool_calls),
    failure=fails(),
)
