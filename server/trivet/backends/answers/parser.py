"""A model's answer taken apart: what it thought, what it says, what it asks to have called.

vLLM has a parser for each family's way of marking these, by the names that its own server knows them by. Source: vLLM
0.32, `vllm.parser.abstract_parser`. Calls that an answer has to be are read by our own (`required_calls`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakSet

from trivet.backends.answers.pacing import LONGEST, SLOW, Pacing, Piece
from trivet.backends.answers.required_calls import CallsReader, reader_of
from trivet.types.generation import BackendRequest, CallDelta, RequestedCall

logger = logging.getLogger(__name__)

_LARGE_TOOLS = 10_000  # characters: some parsers lay out a grammar of them, which is nothing for the event loop
_LAST_OF_PROMPT = 32  # tokens: where a template that has the model think opens its thoughts
_THINKING = ("enable_thinking", "thinking")  # what templates call their switch


@dataclass(frozen=True, slots=True)
class Parsed:
    """A piece of an answer."""

    text: str = ""
    thought: str = ""
    calls: tuple[CallDelta, ...] = ()


class AnswerParser:
    """Takes one answer apart as it comes.

    Should a parser fail, or take too long (`pacing`), it has `given_up`: the rest of the answer is text as the model
    wrote it. `keeps_markers`: it has to see the text of special tokens. `thinks_first`: a schema holds from the end of
    the thoughts on. `slow`: a piece took so long that the next ones are nothing for the event loop.
    """

    def __init__(
        self,
        parser: Any,
        asked: Any,
        prompt: Sequence[int],
        *,
        required: CallsReader | None = None,
        single_call: bool = False,
        thinks_first: bool = False,
        pacing: Pacing | None = None,
        pool: Executor | None = None,
    ) -> None:
        """`parser`: vLLM's, for this answer alone, None where nothing of it is marked; `asked`: the request as vLLM's
        own server would have it. `required` reads calls that the answer has to be; `single_call`: the first one alone.
        `pool`: where it is read once it is slow; None for one of the event loop's own threads.
        """
        # vLLM's parsers set fields of the request and change nothing within them: copying all tools would take long.
        told = None if parser is None else parser.adjust_request(asked.model_copy())
        self.keeps_markers = told is not None and not told.skip_special_tokens
        self.thinks_first = thinks_first
        self.pool = pool
        self.slow = self.given_up = False
        self.reasoning_tokens: int | None = None
        self._parser = parser
        self._asked = asked
        self._prompt = list(prompt)
        self._required = required
        self._calls = _Calls(single_call)
        self._ids: list[int] = []
        self._read_ids = 0  # those that the parser has taken apart
        self._thought = False
        self._took = 0.0
        self._pacing = pacing or Pacing()

    def due(self, text: str, ids: Sequence[int], finished: bool, *, busy: bool = False) -> Piece | None:
        """Take the next piece of the answer; what is to be read now, None if nothing is yet, and while it is `busy`
        with the one before."""
        return self._pacing.due(text, ids, finished, busy=busy)

    def read(self, piece: Piece, finished: bool) -> Parsed:
        """Take a piece apart, in any thread, but one piece after the other. Once it is `finished`, `reasoning_tokens`
        are told: how many of the answer's tokens are thought, None if nothing tells. Of an answer whose parser was
        given up, those until then: what came after is text."""
        text, ids = piece
        self._ids += ids
        self._took = 0.0
        found = Parsed(text) if self.given_up else self._tried(text, ids, finished)
        if finished:
            self.reasoning_tokens = self._count_thoughts()
        return found

    def settle(self) -> None:
        """A piece has been read, in whatever thread: from now on it rests."""
        self._pacing.looked(self._took)

    def _tried(self, text: str, ids: Sequence[int], finished: bool) -> Parsed:
        begin = self._pacing.spent()
        try:
            found = self._taken_apart(text, ids, finished)
        except Exception:  # written for each model's text, by many: any text may be one that they did not expect
            logger.exception("the parser of answers failed, the rest of this answer is text")
            self.given_up = True
            return Parsed(text)
        self._took = self._pacing.spent() - begin
        self._read_ids = len(self._ids)
        self.slow = self.slow or self._took > SLOW
        if self._took > LONGEST and not finished:
            told = "the parser of answers took %.2f s for one piece, the rest of this answer is text"
            logger.warning(told, self._took)
            self.given_up = True
        self._thought = self._thought or bool(found.thought)
        if finished:
            return Parsed(found.text, found.thought, (*found.calls, *self._calls.end()))
        return found

    @property
    def calls(self) -> tuple[RequestedCall, ...]:
        """What it asks to have called, once it has ended."""
        return self._calls.whole()

    def _count_thoughts(self) -> int | None:
        if self._parser is None:
            return None
        try:
            return self._counted(self._ids[: self._read_ids])
        except Exception:
            logger.exception("the parser of answers failed to count thoughts")
            return None

    def _counted(self, ids: list[int]) -> int:
        counted = int(self._parser.count_reasoning_tokens(ids))
        if not counted and self._thought:  # some parsers count from the mark on, which the prompt had already
            opening = self._prompt[-_LAST_OF_PROMPT:]
            both, before = (int(self._parser.count_reasoning_tokens(some)) for some in (opening + ids, opening))
            counted = max(both - before, 0)
        return min(counted, len(ids))

    def _taken_apart(self, text: str, ids: Sequence[int], finished: bool) -> Parsed:
        thought = ""
        asked: Sequence[Any] = ()
        if self._parser is not None:
            found = self._parser.parse_delta(text, list(ids), self._asked, self._prompt, finished=finished)
            text, thought, asked = "", "", ()
            if found is not None:
                text, thought, asked = found.content or "", found.reasoning or "", found.tool_calls or ()
        if self._required is not None:
            return Parsed("", thought, self._calls.add(self._required.feed(text)))
        return Parsed(text, thought, self._calls.add(_delta(call) for call in asked))


def _delta(call: Any) -> CallDelta:
    function = call.function
    name, arguments = ("", "") if function is None else (function.name or "", function.arguments or "")
    return CallDelta(call.index, name, call.id or "", arguments)


class _Calls:
    """Calls as far as they are written. Those that never get a name are none; the others are numbered from 0."""

    def __init__(self, single: bool) -> None:
        self._single = single
        self._drafts: dict[int, _Draft] = {}  # by the parser's own numbers
        self._named: list[_Draft] = []

    def add(self, deltas: Any) -> tuple[CallDelta, ...]:
        """Take some more; what of it is told."""
        told: list[CallDelta] = []
        for delta in deltas:
            draft = self._drafts.setdefault(delta.index, _Draft())
            draft.arguments += delta.arguments
            draft.id = draft.id or delta.id
            draft.name = draft.name or delta.name
            if not draft.name:
                continue
            if draft.number is None:
                if self._single and self._named:
                    continue
                draft.number = len(self._named)
                self._named.append(draft)
                told.append(CallDelta(draft.number, draft.name, draft.id, draft.arguments))
            elif delta.arguments:
                told.append(CallDelta(draft.number, arguments=delta.arguments))
        return tuple(told)

    def end(self) -> tuple[CallDelta, ...]:
        """What calls without arguments have for them."""
        empty = [draft for draft in self._named if not draft.arguments]
        for draft in empty:
            draft.arguments = "{}"
        return tuple(CallDelta(draft.number or 0, arguments="{}") for draft in empty)

    def whole(self) -> tuple[RequestedCall, ...]:
        return tuple(RequestedCall(draft.name, draft.arguments or "{}", draft.id) for draft in self._named)


@dataclass(slots=True)
class _Draft:
    """A call as far as it is written."""

    number: int | None = None
    name: str = ""
    arguments: str = ""
    id: str = field(default="")


class AnswerParsers:
    """Makes the parsers of one engine's answers."""

    def __init__(self, tokenizer: Any, model_config: Any, reasoning: str | None, tools: str | None) -> None:
        """`reasoning` and `tools`: vLLM's names of parsers, None for none.

        Raises ValueError for an unknown one, and for a tokenizer that lacks what one needs.
        """
        self.reasons = reasoning is not None
        self._tokenizer = tokenizer
        self._model_config = model_config
        self._both = self._parser_class(reasoning, tools)
        self._harmful = WeakSet[Pacing]()
        self._pool = ThreadPoolExecutor(1, "answer-parser")  # one: more would take more from the event loop
        self._starts = ThreadPoolExecutor(1, "answer-parser-start")
        self._thoughts = self._parser_class(reasoning, None) if self.reasons else None

    async def made_for(self, request: BackendRequest) -> AnswerParser | None:
        """`parser_for`, in a thread where the request has large tools."""
        if sum(tool.size for tool in request.tools) <= _LARGE_TOOLS:
            return self.parser_for(request)
        return await asyncio.get_running_loop().run_in_executor(self._starts, self.parser_for, request)

    def parser_for(self, request: BackendRequest) -> AnswerParser | None:
        """None where nothing is to be taken apart."""
        constrained = request.json_schema is not None
        required = None if request.required_calls is None else reader_of(request.required_calls)
        parser, asked = None, None
        if constrained:
            parser, asked = self._made(self._thoughts, request, ())
            if parser is not None and not self._thinks_first(parser, request):
                parser = None
        elif self._both is not None:
            parser, asked = self._made(self._both, request, request.tools)
        if parser is None and required is None:
            return None
        return AnswerParser(
            parser,
            asked,
            request.token_ids,
            required=required,
            single_call=request.single_call,
            thinks_first=constrained and parser is not None,
            pacing=Pacing(harmful=self._harmful),
            pool=self._pool,
        )

    def _thinks_first(self, parser: Any, request: BackendRequest) -> bool:
        """Whether a constrained answer begins with thoughts: the prompt has opened them, or thinking was asked for.

        Otherwise the schema holds from the first token on, so that it holds for a model too that does not think.
        """
        if parser.is_reasoning_end(list(request.token_ids)):
            return False
        if request.sampling.max_reasoning_tokens is not None:
            return True
        if any(request.template_variables.get(name) is True for name in _THINKING):
            return True
        opening = parser.reasoning_parser.reasoning_start_str
        if not opening:
            return False
        ids = list(self._tokenizer.encode(opening, add_special_tokens=False))
        last = list(request.token_ids[-_LAST_OF_PROMPT:])
        return any(last[start : start + len(ids)] == ids for start in range(len(last)))

    def _made(self, kind: Any, request: BackendRequest, offered: Sequence[Any]) -> tuple[Any, Any]:
        """vLLM's parser of one answer, and the request as it is to see it."""
        if kind is None:
            return None, None
        from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

        tools = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)},
            }
            for tool in offered
        ]
        variables = dict(request.template_variables)
        asked = ChatCompletionRequest(
            messages=[{"role": "user", "content": ""}],
            tools=tools or None,
            tool_choice="auto" if tools else "none",
            chat_template_kwargs=variables,
        )
        parser = kind(self._tokenizer, asked.tools, model_config=self._model_config, chat_template_kwargs=variables)
        return parser, asked

    def _parser_class(self, reasoning: str | None, tools: str | None) -> Any:
        if reasoning is None and tools is None:
            return None
        from vllm.parser.parser_manager import ParserManager

        try:
            return ParserManager.get_parser(
                tool_parser_name=tools,
                reasoning_parser_name=reasoning,
                enable_auto_tools=tools is not None,
                model_name=self._model_config.model,
                is_harmony=self._model_config.hf_config.model_type == "gpt_oss",
                tokenizer=self._tokenizer,
            )
        except (TypeError, ValueError, KeyError) as error:
            raise ValueError(f"reasoning_parser {reasoning!r}, tool_parser {tools!r}: {error}") from error
