"""Answers are taken apart by vLLM's own parsers, however they are cut into pieces."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.backends.answers.test_coalescing import Completion, Output
from tests.support.engine.chat_families import make_family
from tests.support.engine.fixtures import SESSION_ENGINE
from tests.support.engine.template_trials import TOOLS
from trivet.backends.answers.coalescing import Coalescer
from trivet.backends.answers.pacer import Pacer
from trivet.backends.answers.pacing import Pacing
from trivet.backends.answers.parser import AnswerParser, AnswerParsers
from trivet.backends.vllm_embedded import EmbeddedVllm
from trivet.types.generation import BackendRequest, Chunk, FinishReason, RequestedCall
from trivet.types.request import RequiredCalls
from trivet.types.variant import Sampling, StreamPace

pytestmark = SESSION_ENGINE
MODEL = SimpleNamespace(model="tiny", hf_config=SimpleNamespace(model_type="llama"), runner_type="generate")
THOUGHT = "A guest asks.\nI look."
CALL = '<tool_call>\n{"name": "find_bicycle", "arguments": {"day": "Sunday"}}\n</tool_call>'


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = make_family("chatml", tmp_path_factory.mktemp("chatml")).reference
    made.add_tokens(["</tool_call>"])
    return made


def parser(tokenizer: Any, reasoning: str | None, calls: str | None = None, **fields: Any) -> AnswerParser:
    asked: dict[str, Any] = {"request_id": "1", "token_ids": (1, 2), "sampling": Sampling(), **fields}
    made = AnswerParsers(tokenizer, MODEL, reasoning, calls).parser_for(BackendRequest(**asked))
    assert made is not None
    made._pacing = Pacing(spent=lambda: 0.0)  # no piece takes long, however busy the machine is: none are gathered
    return made


async def answered(tokenizer: Any, made: AnswerParser, answer: str) -> list[Chunk]:
    """Token by token, through what hands chunks to the pipeline."""
    collector = Coalescer(asyncio.get_running_loop(), Pacer(), StreamPace(2, 0.0), 2, made)
    ids = tokenizer.encode(answer, add_special_tokens=False)
    chunks = []
    said = ""
    for count, token in enumerate(ids, start=1):
        text = tokenizer.decode(ids[:count])
        collector.put(Output([Completion(text[len(said) :], [token], "stop" if count == len(ids) else None)]))
        said = text
        chunks.append(await collector.get())
    return chunks


def told(chunks: list[Chunk]) -> tuple[str, str]:
    return "".join(chunk.reasoning for chunk in chunks).strip(), "".join(chunk.text for chunk in chunks).strip()


@pytest.mark.parametrize("name", ["deepseek_r1", "qwen3", "glm45"])
async def test_thoughts_are_apart_from_the_answer(tokenizer: Any, name: str) -> None:
    made = parser(tokenizer, name)
    chunks = await answered(tokenizer, made, f"<think>\n{THOUGHT}\n</think>\n\nNine o'clock.")
    assert told(chunks) == (THOUGHT, "Nine o'clock.")
    assert any(chunk.reasoning for chunk in chunks[:-3])  # as it is thought
    last = chunks[-1]
    assert last.finish is FinishReason.STOP
    thought = len(tokenizer.encode(THOUGHT, add_special_tokens=False))
    assert last.reasoning_tokens is not None
    assert thought <= last.reasoning_tokens <= thought + 6
    assert [chunk.reasoning_tokens for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)


async def test_thinking_that_the_prompt_ended_is_none(tokenizer: Any) -> None:
    off = {"enable_thinking": False}
    ended = tuple(tokenizer.encode("<think>\n\n</think>\n\n", add_special_tokens=False))
    made = parser(tokenizer, "qwen3", token_ids=ended, template_variables=off)
    chunks = await answered(tokenizer, made, "Nine o'clock.")
    assert told(chunks) == ("", "Nine o'clock.")


@pytest.mark.parametrize("reasoning", [None, "qwen3"])
@pytest.mark.parametrize("single", [False, True])
async def test_calls_come_as_they_are_written(tokenizer: Any, reasoning: str | None, single: bool) -> None:
    made = parser(tokenizer, reasoning, "hermes", tools=TOOLS, single_call=single)
    begins = f"<think>\n{THOUGHT}\n</think>\n\n" if reasoning else ""
    chunks = await answered(tokenizer, made, f"{begins}I ask.\n{CALL}\n{CALL.replace('Sun', 'Mon')}")
    assert told(chunks) == (THOUGHT if reasoning else "", "I ask.")
    calls = chunks[-1].tool_calls
    assert [(call.name, json.loads(call.arguments)["day"]) for call in calls] == [
        ("find_bicycle", "Sunday"),
        ("find_bicycle", "Monday"),
    ][: 1 if single else 2]
    assert all(not chunk.tool_calls for chunk in chunks[:-1])
    deltas = [delta for chunk in chunks for delta in chunk.call_deltas]
    assert [delta.name for delta in deltas if delta.name] == [call.name for call in calls]
    for index, call in enumerate(calls):
        assert "".join(delta.arguments for delta in deltas if delta.index == index) == call.arguments
    assert sum(delta.index == 0 for delta in deltas) > 2


async def test_tools_are_not_copied_for_each_request(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte of them takes half a second, on the event loop."""
    parsers = AnswerParsers(tokenizer, MODEL, "qwen3", "hermes")
    copied: list[object] = []

    class Watched(dict[str, Any]):
        def __deepcopy__(self, memory: Any) -> Any:
            copied.append(self)
            return self

    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

    asked = ChatCompletionRequest(messages=[{"role": "user", "content": ""}])
    asked.chat_template_kwargs = Watched()
    monkeypatch.setattr(parsers, "_made", lambda kind, *_: (kind(tokenizer, None, model_config=MODEL), asked))
    made = parsers.parser_for(BackendRequest("1", (1, 2), Sampling()))
    assert made is not None
    assert made.keeps_markers
    assert asked.skip_special_tokens
    assert not copied


async def test_required_calls_after_thoughts(tokenizer: Any) -> None:
    opened = tuple(tokenizer.encode("<think>\n", add_special_tokens=False))
    fields: dict[str, Any] = {"json_schema": {"type": "array"}, "required_calls": RequiredCalls({})}
    made = parser(tokenizer, "deepseek_r1", token_ids=opened, **fields)
    assert made.thinks_first
    chunks = await answered(tokenizer, made, f'{THOUGHT}\n</think>[{{"name":"find","parameters":{{"a":1}}}}]')
    assert told(chunks) == (THOUGHT, "")
    assert chunks[-1].tool_calls == (RequestedCall("find", '{"a":1}'),)
    assert chunks[-1].reasoning_tokens
    made = parser(tokenizer, "deepseek_r1", **fields)
    assert not made.thinks_first, "nothing in the prompt begins a thought"
    chunks = await answered(tokenizer, made, '[{"name":"find","parameters":{}}]')
    assert chunks[-1].tool_calls == (RequestedCall("find", "{}"),)


async def test_an_answer_without_marks_is_text(tokenizer: Any) -> None:
    chunks = await answered(tokenizer, parser(tokenizer, None, "hermes", tools=TOOLS), "Nine o'clock. <b>")
    assert told(chunks) == ("", "Nine o'clock. <b>")
    assert chunks[-1].tool_calls == ()


async def test_a_parser_that_fails_leaves_text(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = parser(tokenizer, "qwen3")

    def fails(*_: Any, **__: Any) -> None:
        raise IndexError("unforeseen")

    monkeypatch.setattr(made._parser, "parse_delta", fails)
    chunks = await answered(tokenizer, made, "Nine o'clock.")
    assert told(chunks) == ("", "Nine o'clock.")
    assert chunks[-1].reasoning_tokens == 0


async def test_an_answer_under_a_schema_is_taken_apart_where_it_thinks_first(tokenizer: Any) -> None:
    def made(*prompt: str, **fields: Any) -> AnswerParser | None:
        ids = tuple(tokenizer.encode("".join(prompt), add_special_tokens=False))
        asked: dict[str, Any] = {"sampling": Sampling(), "json_schema": {"type": "object"}, **fields}
        return AnswerParsers(tokenizer, MODEL, "qwen3", "hermes").parser_for(BackendRequest("1", ids, **asked))

    assert made("hello") is None
    assert made("<think>", "hello " * 40) is None, "it is not the template that opened it"
    assert made("hello<think>\n\n</think>\n", sampling=Sampling(max_reasoning_tokens=9)) is None
    for found in (
        made("hello<think>\n"),
        made("hello", sampling=Sampling(max_reasoning_tokens=9)),
        made("hello", template_variables={"enable_thinking": True}),
    ):
        assert found is not None
        assert found.thinks_first
    (opened,) = [made("hello<think>\n")]
    assert opened is not None
    chunks = await answered(tokenizer, opened, f'{THOUGHT}\n</think>\n\n{{"a":1}}')
    assert told(chunks) == (THOUGHT, '{"a":1}')


async def test_names_that_do_not_fit_the_model_are_refused(tiny_engine: EmbeddedVllm, tmp_path: Path) -> None:
    engine = tiny_engine._life.engine
    assert engine is not None
    none = await engine.answer_parsers(None, None)
    assert none.parser_for(BackendRequest("1", (1, 2), Sampling())) is None
    for reasoning, tools in (("poem", None), (None, "poem"), ("deepseek_r1", None)):
        with pytest.raises(ValueError, match=str(reasoning or tools)):
            await engine.answer_parsers(reasoning, tools)
