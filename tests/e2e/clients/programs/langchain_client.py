"""LangChain's chat model for OpenAI's API: see `told.py`."""

import asyncio
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai import NotFoundError
from told import QUESTION, Rated, tell, urls

real, scripted = urls()
model = ChatOpenAI(model="support", base_url=real, api_key="none", max_retries=0)


@tool
def find(day: str) -> str:
    """Finds a bicycle."""
    return "red"


async def ask() -> list[str]:
    pieces = [str(piece.content) async for piece in model.astream(QUESTION)]
    return [str((await model.ainvoke(QUESTION)).content), "".join(pieces)]


def fails() -> str:
    try:
        ChatOpenAI(model="nothing", base_url=real, api_key="none", max_retries=0).invoke(QUESTION)
    except NotFoundError as error:
        return str(error.code)
    return "did not fail"


whole = model.invoke(QUESTION)
assert isinstance(whole, AIMessage)
assert whole.usage_metadata is not None
parsed: Any = ChatOpenAI(model="support", base_url=real, api_key="none", max_tokens=60).with_structured_output(
    Rated, method="json_schema"
)
caller = ChatOpenAI(model="open", base_url=scripted, api_key="secret-a", max_retries=0).bind_tools([find])
asked = caller.invoke(QUESTION)
streamed: Any = None
for chunk in caller.stream(QUESTION):
    streamed = chunk if streamed is None else streamed + chunk
answered = caller.invoke([HumanMessage(QUESTION), asked, ToolMessage("red", tool_call_id=asked.tool_calls[0]["id"])])
tell(
    whole=str(whole.content),
    stream="".join(str(piece.content) for piece in model.stream(QUESTION)),
    asynchronous=asyncio.run(ask()),
    tokens=whole.usage_metadata["output_tokens"],
    parsed=list(parsed.invoke(QUESTION).model_dump()),
    calls=[[call["name"], call["args"]] for call in asked.tool_calls],
    streamed_calls=[[call["name"], call["args"]] for call in streamed.tool_calls],
    after_a_call=bool(answered.tool_calls),
    failure=fails(),
)
