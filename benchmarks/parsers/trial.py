"""One parser, one answer: token by token as it would come, without pacing and with it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.measuring.tiny_llama import make_model
from benchmarks.parsers.forms import all_marks
from benchmarks.parsers.on_loop import Held, held
from benchmarks.parsers.texts import WORDS
from trivet.backends.answers.pacing import LONGEST, Pacing
from trivet.backends.answers.parser import AnswerParser

MODEL = SimpleNamespace(model="tiny", hf_config=SimpleNamespace(model_type="llama"), runner_type="generate")
PACE = 0.01  # seconds from token to token
GIVE_UP = 2.0  # seconds for one answer; what takes longer is long enough to tell
TOOL = {
    "type": "function",
    "function": {
        "name": "find",
        "description": "Finds.",
        "parameters": {"type": "object", "properties": {"text": {"type": "string"}}},
    },
}


@dataclass(frozen=True, slots=True)
class Parsed:
    """`seconds`: of the processor, for the whole answer; `longest`: for one piece; `whole`: it was read to its end."""

    seconds: float
    longest: float
    pieces: int
    calls: int
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Paced:
    """Under `Pacing`: `share` of the time that the answer took to come; `given_up`: the rest was handed on as text."""

    seconds: float
    longest: float
    share: float
    given_up: bool


def tokenizer(folder: Path) -> Any:
    """One whose vocabulary has every mark that some parser looks for, as a token of its own."""
    import transformers

    make_model(folder, [WORDS * 20], 1024)
    made = transformers.AutoTokenizer.from_pretrained(folder)
    made.add_tokens(all_marks())
    return made


class Trial:
    """`kind` is "tool" or "reasoning". Raises what the parser raises for a tokenizer that does not suit it."""

    def __init__(self, tokens: Any, kind: str, name: str) -> None:
        from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
        from vllm.parser.parser_manager import ParserManager

        calls = kind == "tool"
        self._tokens = tokens
        self._written: dict[int, str] = {}
        self._asked = ChatCompletionRequest(
            messages=[{"role": "user", "content": ""}],
            tools=[TOOL] if calls else None,
            tool_choice="auto" if calls else "none",
        )
        self._kind: Any = ParserManager.get_parser(
            tool_parser_name=name if calls else None,
            reasoning_parser_name=None if calls else name,
            enable_auto_tools=calls,
            model_name="tiny",
            is_harmony=name in {"openai", "openai_gptoss"},
            tokenizer=tokens,
        )

    def unpaced(self, text: str) -> Parsed:
        """Each token is looked at when it comes."""
        parser, pieces = self._parser(), self._pieces(text)
        calls: set[int] = set()
        longest = 0.0
        parser.adjust_request(self._asked.model_copy(deep=True))
        begin = time.thread_time()
        for number, (piece, token) in enumerate(pieces, start=1):
            before = time.thread_time()
            found = parser.parse_delta(piece, [token], self._asked, [1, 2], finished=number == len(pieces))
            now = time.thread_time()
            longest = max(longest, now - before)
            calls.update(call.index for call in (found.tool_calls if found is not None else ()))
            if now - begin > GIVE_UP:
                return Parsed(now - begin, longest, number, len(calls), whole=False)
        return Parsed(time.thread_time() - begin, longest, len(pieces), len(calls))

    def paced(self, text: str) -> Paced:
        """By the server's own hand, a token each `PACE` seconds. Time is counted, not waited for."""
        clock = _Clock()
        made = AnswerParser(self._parser(), self._asked, (1, 2), pacing=Pacing(clock.now, time.thread_time))
        spent = longest = 0.0
        pieces = self._pieces(text)
        for number, (piece, token) in enumerate(pieces, start=1):
            clock.pass_(PACE)
            before = time.thread_time()
            due = made.due(piece, [token], number == len(pieces))
            if due is not None:
                made.read(due, number == len(pieces))
                made.settle()
            took = time.thread_time() - before
            clock.pass_(took)
            spent, longest = spent + took, max(longest, took)
        return Paced(spent, longest, spent / clock.now(), longest > LONGEST)

    def held(self, text: str) -> Held:
        """By the server's own hand too, on a real event loop."""
        with ThreadPoolExecutor(1) as pool:
            return held(AnswerParser(self._parser(), self._asked, (1, 2), pool=pool), self._pieces(text))

    def _parser(self) -> Any:
        return self._kind(self._tokens, self._asked.tools, model_config=MODEL, chat_template_kwargs={})

    def _pieces(self, text: str) -> Sequence[tuple[str, int]]:
        ids = self._tokens.encode(text, add_special_tokens=False)
        for token in set(ids) - self._written.keys():
            self._written[token] = self._tokens.decode([token])
        pieces = [(self._written[token], token) for token in ids]
        assert "".join(piece for piece, _ in pieces) == text
        return pieces


class _Clock:
    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        return self._now

    def pass_(self, seconds: float) -> None:
        self._now += seconds
