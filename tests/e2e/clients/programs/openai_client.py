"""OpenAI's own package, of whichever version is installed: see `told.py`."""

import asyncio
import json
from typing import Any

import openai
from told import QUESTION, TOOL, Rated, tell, urls

real, scripted = urls()
client = openai.OpenAI(base_url=real, api_key="none", max_retries=0)
ASK: Any = [{"role": "user", "content": QUESTION}]
OFFERED: Any = [TOOL]


def joined(pieces: Any) -> str:
    return "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)


async def ask() -> list[str]:
    async with openai.AsyncOpenAI(base_url=real, api_key="none", max_retries=0) as asking:
        whole = await asking.chat.completions.create(model="support", messages=ASK)
        pieces = await asking.chat.completions.create(model="support", messages=ASK, stream=True)
        return [str(whole.choices[0].message.content), joined([piece async for piece in pieces])]


def streamed_calls(asking: openai.OpenAI) -> list[Any]:
    found: Any = {}
    for chunk in asking.chat.completions.create(model="open", messages=ASK, tools=OFFERED, stream=True):
        for call in chunk.choices[0].delta.tool_calls or ():
            name, arguments = found.get(call.index, ("", ""))
            assert call.function is not None
            found[call.index] = (name + (call.function.name or ""), arguments + (call.function.arguments or ""))
    return [[name, json.loads(arguments)] for name, arguments in found.values()]


def responses(caller: openai.OpenAI) -> dict[str, Any]:
    """The same by the Responses API."""
    tool: Any = {"type": "function", "strict": False, **TOOL["function"]}
    made = client.responses.create(model="support", input=QUESTION)
    events = list(client.responses.create(model="support", input=QUESTION, stream=True))
    form = client.responses.parse(model="support", input=QUESTION, text_format=Rated, max_output_tokens=60)
    assert isinstance(form.output_parsed, Rated)
    with caller.responses.stream(model="open", input=QUESTION, tools=[tool]) as stream:
        asked: Any = stream.get_final_response()
    call: Any = next(item for item in asked.output if item.type == "function_call")
    found: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "red"}
    said: Any = [{"role": "user", "content": QUESTION}, *asked.output, found]
    answered = caller.responses.create(model="open", input=said, tools=[tool])
    return {
        "whole": made.output_text,
        "stream": "".join(event.delta for event in events if event.type == "response.output_text.delta"),
        "ends": events[-1].type,
        "parsed": list(form.output_parsed.model_dump()),
        "calls": [call.name, json.loads(call.arguments)],
        "after_a_call": any(item.type == "function_call" for item in answered.output),
    }


def others() -> dict[str, Any]:
    """Several answers, texts to be continued, and vectors."""
    several = client.chat.completions.create(model="support", messages=ASK, n=2)
    continued = client.completions.create(model="raw", prompt=["One", "Two"], max_tokens=4)
    vectors = client.embeddings.create(model="handbook", input=["a", "b"])
    return {
        "several": [choice.message.content for choice in several.choices],
        "continued": [[choice.index, choice.finish_reason] for choice in continued.choices],
        "dimensions": [len(one.embedding) for one in vectors.data],
    }


def fails() -> str:
    try:
        client.chat.completions.create(model="nothing", messages=ASK)
    except openai.NotFoundError as error:
        return str(error.code)
    return "did not fail"


whole = client.chat.completions.create(model="support", messages=ASK)
assert whole.usage is not None
parsed = client.chat.completions.parse(model="support", messages=ASK, response_format=Rated, max_tokens=60)
assert isinstance(parsed.choices[0].message.parsed, Rated)
with openai.OpenAI(base_url=scripted, api_key="secret-a", max_retries=0) as caller:
    message = caller.chat.completions.create(model="open", messages=ASK, tools=OFFERED).choices[0].message
    calls: Any = message.tool_calls
    result: Any = {"role": "tool", "tool_call_id": calls[0].id, "content": "red"}
    answered = caller.chat.completions.create(model="open", messages=[*ASK, message, result], tools=OFFERED)
    tell(
        whole=whole.choices[0].message.content,
        stream=joined(client.chat.completions.create(model="support", messages=ASK, stream=True)),
        asynchronous=asyncio.run(ask()),
        tokens=whole.usage.completion_tokens,
        parsed=list(parsed.choices[0].message.parsed.model_dump()),
        calls=[[call.function.name, json.loads(call.function.arguments)] for call in calls],
        streamed_calls=streamed_calls(caller),
        after_a_call=bool(answered.choices[0].message.tool_calls),
        failure=fails(),
        responses=responses(caller),
        others=others(),
    )
