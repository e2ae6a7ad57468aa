"""LlamaIndex's model for servers that speak OpenAI's API: see `told.py`."""

import asyncio
from typing import Any

from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from openai import NotFoundError
from told import QUESTION, Rated, tell, urls

real, scripted = urls()
ASK = [ChatMessage(role="user", content=QUESTION)]


def like(model: str, base: str, key: str, **more: Any) -> OpenAILike:
    return OpenAILike(model=model, api_base=base, api_key=key, is_chat_model=True, max_retries=0, **more)


def find(day: str) -> str:
    """Finds a bicycle."""
    return "red"


async def ask() -> list[str]:
    whole = await model.achat(ASK)
    pieces = [piece.delta or "" async for piece in await model.astream_chat(ASK)]
    return [str(whole.message.content), "".join(pieces)]


def fails() -> str:
    try:
        like("nothing", real, "none").chat(ASK)
    except NotFoundError as error:
        return str(error.code)
    return "did not fail"


model = like("support", real, "none")
whole: Any = model.chat(ASK)
formed = like("support", real, "none", max_tokens=60, should_use_structured_outputs=True)
parsed: Any = formed.as_structured_llm(Rated).chat(ASK).raw
caller = like("open", scripted, "secret-a", is_function_calling_model=True)
tool = FunctionTool.from_defaults(find, name="find")
asked = caller.chat_with_tools([tool], chat_history=list(ASK))
calls = caller.get_tool_calls_from_response(asked)
streamed: Any = list(caller.stream_chat_with_tools([tool], chat_history=list(ASK)))[-1]
result = ChatMessage(role="tool", content="red", additional_kwargs={"tool_call_id": calls[0].tool_id})
answered = caller.chat_with_tools([tool], chat_history=[*ASK, asked.message, result])
tell(
    whole=whole.message.content,
    stream="".join(piece.delta or "" for piece in model.stream_chat(ASK)),
    asynchronous=asyncio.run(ask()),
    tokens=whole.raw.usage.completion_tokens,
    parsed=list(parsed.model_dump()),
    calls=[[call.tool_name, call.tool_kwargs] for call in calls],
    streamed_calls=[[c.tool_name, c.tool_kwargs] for c in caller.get_tool_calls_from_response(streamed)],
    after_a_call=bool(caller.get_tool_calls_from_response(answered)),
    failure=fails(),
)
