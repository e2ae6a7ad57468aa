"""A model's answer taken apart: what it thought, what it says, what it asks to have called.

vLLM has a parser for each family's way of marking these, by the names that its own server knows them by. Source: vLLM
0.32, `vllm.parser.abstract_parser`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trivet.types.generation import BackendRequest, RequestedCall

logger = logging.getLogger(__name__)


class AnswerParser:
    """Takes one answer apart as it comes.

    Should the parser fail, the rest of the answer is text as the model wrote it. `keeps_markers`: it has to see the
    text of special tokens.
    """

    def __init__(self, parser: Any, asked: Any, prompt: Sequence[int]) -> None:
        """`parser`: vLLM's, for this answer alone; `asked`: the request as vLLM's own server would have it."""
        self.keeps_markers = not parser.adjust_request(asked.model_copy(deep=True)).skip_special_tokens
        self._parser = parser
        self._asked = asked
        self._prompt = list(prompt)
        self._ids: list[int] = []
        self._calls: dict[int, _Draft] = {}
        self._failed = False

    def feed(self, text: str, ids: Sequence[int], finished: bool) -> tuple[str, str]:
        """The next piece of the answer: what of it is said, and what is thought."""
        if self._failed:
            return text, ""
        self._ids += ids
        try:
            found = self._parser.parse_delta(text, list(ids), self._asked, self._prompt, finished=finished)
        except Exception:  # written for each model's text, by many: any text may be one that they did not expect
            logger.exception("the parser of answers failed, the rest of this answer is text")
            self._failed = True
            return text, ""
        if found is None:
            return "", ""
        for call in found.tool_calls or ():
            self._calls.setdefault(call.index, _Draft()).add(call)
        return found.content or "", found.reasoning or ""

    @property
    def reasoning_tokens(self) -> int:
        """How many of the answer's tokens are thought."""
        return 0 if self._failed else min(int(self._parser.count_reasoning_tokens(self._ids)), len(self._ids))

    @property
    def calls(self) -> tuple[RequestedCall, ...]:
        """What it asks to have called, once it has ended."""
        drafts = (self._calls[index] for index in sorted(self._calls))
        return tuple(RequestedCall(draft.name, draft.arguments or "{}", draft.id) for draft in drafts if draft.name)


@dataclass(slots=True)
class _Draft:
    """A call as far as it is written."""

    name: str = ""
    arguments: str = ""
    id: str = ""

    def add(self, call: Any) -> None:
        self.id = self.id or call.id or ""
        if call.function is not None:
            self.name = self.name or call.function.name or ""
            self.arguments += call.function.arguments or ""


class AnswerParsers:
    """Makes the parsers of one engine's answers."""

    def __init__(self, tokenizer: Any, model_config: Any, reasoning: str | None, tools: str | None) -> None:
        """`reasoning` and `tools`: vLLM's names of parsers, None for none.

        Raises ValueError for an unknown one, and for a tokenizer that lacks what one needs.
        """
        from vllm.parser.parser_manager import ParserManager

        try:
            self._parser: Any = ParserManager.get_parser(
                tool_parser_name=tools,
                reasoning_parser_name=reasoning,
                enable_auto_tools=tools is not None,
                model_name=model_config.model,
                is_harmony=model_config.hf_config.model_type == "gpt_oss",
                tokenizer=tokenizer,
            )
        except (TypeError, ValueError, KeyError) as error:
            raise ValueError(f"reasoning_parser {reasoning!r}, tool_parser {tools!r}: {error}") from error
        self._tokenizer = tokenizer
        self._model_config = model_config

    def parser_for(self, request: BackendRequest) -> AnswerParser | None:
        """None where nothing is to be taken apart.

        Such is an answer under a schema too, which holds from the first token on.
        """
        if self._parser is None or request.json_schema is not None:
            return None
        from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

        tools = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)},
            }
            for tool in request.tools
        ]
        variables = dict(request.template_variables)
        asked = ChatCompletionRequest(
            messages=[{"role": "user", "content": ""}],
            tools=tools or None,
            tool_choice="auto" if tools else "none",
            chat_template_kwargs=variables,
        )
        parser = self._parser(
            self._tokenizer, asked.tools, model_config=self._model_config, chat_template_kwargs=variables
        )
        return AnswerParser(parser, asked, request.token_ids)
