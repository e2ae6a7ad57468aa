"""One prompt version under one model's tokenizer: from a conversation and passages to token ids, stable first."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise
from types import MappingProxyType
from typing import Any

from trivet.errors import ConfigError, PromptTooLong, Unsupported
from trivet.prompts.assembly.conversation import check_conversation, check_variables, encodable
from trivet.prompts.assembly.invocation import MOST_IDS, invoked
from trivet.prompts.assembly.passage_block import passage_lines
from trivet.prompts.assembly.plan import Plan, fill, fits, size_of, words_before
from trivet.prompts.assembly.planner import AssemblyRequest, Planner
from trivet.prompts.assembly.tool_messages import tool_schemas
from trivet.prompts.rendering.chat_template import Switches, TemplateRefusal
from trivet.prompts.template.source import InvocationPlace, Placeholder, PromptSource, Variable
from trivet.prompts.tokenizer.chat_tokenizer import ChatTokenizer
from trivet.prompts.tokenizer.skeleton import Setting
from trivet.prompts.tokenizer.text_tokenizer import LONG_TEXT
from trivet.prompts.tokenizer.token_bytes import has_more_bytes
from trivet.types.passage import Passage
from trivet.types.prompt import AssembledPrompt, Prefix, WorkedExample
from trivet.types.request import Message, Tool

_NONE: Mapping[str, Any] = MappingProxyType({})
TURN_TOKENS = 16  # at most so many are what a chat template puts around a message


@dataclass(frozen=True, slots=True)
class _Draft:
    """One try. `sizes`: the tokens of each passage's entry, its number and line end included. `invoking`: `words` of
    `invoked`."""

    ids: list[int]
    sizes: list[int]
    invoking: tuple[int, int] | None
    messages: tuple[Message, ...]


class PromptAssembler:
    """Assembles one prompt version for one tokenizer. Safe to share between threads."""

    def __init__(self, prompt: PromptSource, tokenizer: ChatTokenizer, *, as_messages: bool = False) -> None:
        """Tokenizes the prefix. `as_messages`: for a backend that may want the turns themselves.

        Raises ConfigError if the model's chat template cannot express the prompt.
        """
        self._prompt = prompt
        self._as_messages = as_messages
        self._tokenizer = tokenizer
        self._placeholders = {
            piece.name for turn in prompt.turns for piece in turn.pieces if isinstance(piece, Placeholder)
        }
        self._planner = Planner(prompt, tokenizer)
        self._own_switches = Switches.of(prompt.template_variables)
        self.check({})

    def check(self, template_variables: Mapping[str, Any]) -> None:
        """Raise ConfigError if the model's chat template cannot express the prompt with these variables of its own."""
        try:
            self._planner.verify(self._switches(template_variables))
        except (TemplateRefusal, Unsupported) as error:
            problem = f"the model's chat template does not take this prompt ({error})"
            raise ConfigError([f"{self._prompt.path}:1: {problem}, expected one that puts every message in"]) from None

    @property
    def prefix(self) -> Prefix:
        """The static beginning, without variables of the template beside the prompt's own."""
        return self.prefix_with({})

    def prefix_with(self, template_variables: Mapping[str, Any]) -> Prefix:
        """The static beginning for a variant with these variables of the chat template; today's, if it has the date."""
        return self._planner.prefix(self._tokenizer.moment(), self._switches(template_variables))

    def assemble(
        self,
        messages: Sequence[Message],
        *,
        context_tokens: int,
        max_tokens: int,
        variables: Mapping[str, str] | None = None,
        also_known: Collection[str] = (),
        template_variables: Mapping[str, Any] = _NONE,
        asked_variables: Mapping[str, Any] = _NONE,
        tools: Sequence[Tool] = (),
        passages: Sequence[Passage] = (),
        passage_tokens: int | None = None,
        examples: Sequence[WorkedExample] = (),
        example_tokens: int | None = None,
        invocation: tuple[int, ...] = (),
    ) -> AssembledPrompt:
        """The ids of one request; at most `context_tokens - max_tokens` of them.

        Passages come best first, examples nearest first (in the prompt the nearest stands last). First examples and
        then passages are dropped whole, from the end, until the prompt fits, the examples' own text has at most
        `example_tokens` tokens and the entries of the passages at most `passage_tokens` (None: no such bound).
        Variables that are only `also_known`, to other prompts of the route, are left out. `template_variables` are the
        variant's for the chat template, `asked_variables` the client's, `invocation` that of an activated LoRA. Raises
        InvalidRequest for wrong roles, variables and half surrogate pairs, PromptTooLong if it does not fit without any
        of them, FailedPrecondition if the adapter cannot be invoked.
        """
        limit = context_tokens - max_tokens - self._appended(invocation)
        told = f"({context_tokens:,} of context less {max_tokens:,} for the answer)"
        setting = self._setting(template_variables, asked_variables, tools)
        asked = replace(self._asked(messages, variables or {}, also_known, setting), invocation=invocation)
        self._refuse_too_long(asked, limit, told)
        made = self._with_fitting(asked, passages, limit, passage_tokens)
        if made is None:
            raise self._refusal(asked, limit, told)
        begins = next(role for role in asked.roles if role != "system")
        shown = self._within(examples, example_tokens) if begins == "user" else ()
        for count in range(len(shown), 0, -1):
            draft = self._draft(asked.after(shown[:count]), made.passages)
            if len(draft.ids) <= limit:
                with_examples = self._result(asked, draft, passages, len(made.passages))
                return replace(with_examples, examples=shown[:count], dropped_examples=tuple(examples[count:]))
        return replace(made, dropped_examples=tuple(examples))

    def require_room(
        self,
        messages: Sequence[Message],
        *,
        context_tokens: int,
        max_tokens: int,
        variables: Mapping[str, str] | None = None,
        also_known: Collection[str] = (),
        template_variables: Mapping[str, Any] = _NONE,
        asked_variables: Mapping[str, Any] = _NONE,
        tools: Sequence[Tool] = (),
    ) -> None:
        """Raise what `assemble` raises for this request whatever passages it is given, in less time than that takes.

        What has no more bytes than there is room for tokens is not counted.
        """
        limit = context_tokens - max_tokens
        told = f"({context_tokens:,} of context less {max_tokens:,} for the answer)"
        setting = self._setting(template_variables, asked_variables, tools)
        asked = self._asked(messages, variables or {}, also_known, setting)
        self._refuse_too_long(asked, limit, told)
        plan, texts = self._planner.plan(asked, asked.contents)
        if size_of(plan, texts) > limit and not fits(plan, texts, self._tokenizer.text, limit):
            raise self._refusal(asked, limit, told)

    def require_invocation(self, invocation: tuple[int, ...], template_variables: Mapping[str, Any]) -> None:
        """Raise FailedPrecondition if an adapter with this invocation could not be invoked in this prompt."""
        if invocation:
            values = dict.fromkeys(self._placeholders, "a")
            setting = self._setting(template_variables, _NONE, ())
            asked = AssemblyRequest((Message("user", "a"),), values, setting, invocation=invocation)
            self._result(asked, self._draft(asked, ()), (), 0)

    @property
    def raw(self) -> bool:
        """Whether a request brings a text to be continued, and no conversation."""
        return self._prompt.raw

    @property
    def variables(self) -> Mapping[str, Variable]:
        """What the prompt declares, by name."""
        return self._prompt.variables

    @cached_property
    def most_own_tokens(self) -> int:
        """An upper bound on the tokens that the prompt and the chat template add to a request's own text.

        A token of text has at least one byte; what a template puts first of its own is in the prefix.
        """
        texts = [self._prompt.passages_header, *(one.default or "" for one in self._prompt.variables.values())]
        texts += [piece for turn in self._prompt.turns for piece in turn.pieces if isinstance(piece, str)]
        around = TURN_TOKENS * len(self._prompt.turns) + self._appended((0,) * MOST_IDS)
        return self.prefix.tokens + sum(len(text.encode()) for text in texts) + around

    @property
    def renews(self) -> bool:
        """Whether the next request takes longer: the template writes the date, and nobody has asked today."""
        return not self._planner.knows(self._tokenizer.moment())

    def bytes_within(self, tokens: int) -> int:
        """Bytes of text that may fit into so many tokens: of what has more, nothing needs to be looked at."""
        return max(0, tokens) * self._tokenizer.text.bytes_per_token

    def _appended(self, invocation: Sequence[int]) -> int:
        """How many ids stand after what the chat template writes."""
        return len(invocation) if self._prompt.invocation is InvocationPlace.APPENDED else 0

    def _switches(self, own: Mapping[str, Any], asked: Mapping[str, Any] = _NONE) -> Switches:
        if not own and not asked:
            return self._own_switches
        return Switches.of({**self._prompt.template_variables, **own}, asked)

    def _setting(self, own: Mapping[str, Any], asked: Mapping[str, Any], tools: Sequence[Tool]) -> Setting:
        return Setting(self._tokenizer.moment(), self._switches(own, asked), tool_schemas(tools))

    def _asked(
        self, messages: Sequence[Message], variables: Mapping[str, str], also_known: Collection[str], setting: Setting
    ) -> AssemblyRequest:
        check_conversation(messages)
        return AssemblyRequest(tuple(messages), check_variables(self._prompt, variables, also_known), setting)

    def _refusal(self, asked: AssemblyRequest, limit: int, told: str) -> PromptTooLong:
        """Of one that `_refuse_too_long` let pass: short enough to be counted."""
        return PromptTooLong(_too_long(f"{len(self._draft(asked, ()).ids):,}", limit, told))

    def _refuse_too_long(self, asked: AssemblyRequest, limit: int, told: str) -> None:
        """Raise PromptTooLong for a long text that does not fit, for no more work than one that does would be."""
        used = [text for name, text in asked.values.items() if name in self._placeholders]
        fitting = self.bytes_within(limit)
        if has_more_bytes((*asked.contents, *used), fitting):
            raise PromptTooLong(
                f"the text has more than {fitting:,} bytes, which is the most that can fit into {max(limit, 0):,} "
                f"tokens {told}"
            )
        plan, texts = self._planner.plan(asked, asked.contents)
        if sum(map(len, texts)) > LONG_TEXT and not fits(plan, texts, self._tokenizer.text, limit):
            raise PromptTooLong(_too_long(f"more than {max(limit, 0):,}", limit, told))

    def _within(self, examples: Sequence[WorkedExample], tokens: int | None) -> tuple[WorkedExample, ...]:
        """The nearest ones whose own text has at most so many tokens together."""
        sizes = (
            len(self._tokenizer.text.encode_text(encodable(example.question) + encodable(example.answer), False).ids)
            for example in examples
        )
        count = sum(1 for total in accumulate(sizes) if tokens is None or total <= tokens)
        return tuple(examples[:count])

    def _with_fitting(
        self, asked: AssemblyRequest, passages: Sequence[Passage], limit: int, passage_tokens: int | None
    ) -> AssembledPrompt | None:
        """With as many of the passages as there is room for; None if not even a prompt without any fits."""
        count = len(passages)
        while True:
            draft = self._draft(asked, passages[:count])
            fitting = _fitting(draft, limit, passage_tokens)
            if fitting == count and len(draft.ids) <= limit:
                return self._result(asked, draft, passages, count)
            if count == 0:
                return None
            count = fitting

    def _result(
        self, asked: AssemblyRequest, draft: _Draft, passages: Sequence[Passage], count: int
    ) -> AssembledPrompt:
        token_ids = tuple(draft.ids)
        prefix = self._planner.prefix(asked.setting.moment, asked.setting.switches)
        held = token_ids[: prefix.tokens] == prefix.token_ids
        prompt = AssembledPrompt(
            token_ids=token_ids,
            prefix_tokens=prefix.tokens if held else 0,
            prefix_fingerprint=prefix.fingerprint if held else "",
            passages=tuple(passages[:count]),
            dropped=tuple(passages[count:]),
            template_variables=asked.setting.switches.plain,
            messages=draft.messages,
        )
        return invoked(prompt, draft.invoking, asked.invocation, self._prompt.invocation)

    def _invoking(self, asked: AssemblyRequest, plan: Plan, texts: Sequence[str]) -> tuple[int, int] | None:
        """Where the words are that may invoke the adapter of this request."""
        if not asked.invocation or self._prompt.invocation is not InvocationPlace.QUESTION:
            return len(plan.tail), 0
        last = len(asked.roles) - 1 - asked.roles[::-1].index("user")
        return words_before(plan, texts, self._tokenizer.text, self._planner.number_of(asked, last))

    def _draft(self, asked: AssemblyRequest, passages: Sequence[Passage]) -> _Draft:
        lines = passage_lines(self._prompt.passages_header, passages, self._prompt.source_mark)
        conversation = list(asked.contents)
        conversation[asked.first] = "".join(lines) + conversation[asked.first]
        plan, texts = self._planner.plan(asked, conversation)
        messages = self._planner.messages(asked, texts) if self._as_messages else ()
        invoking = self._invoking(asked, plan, texts)
        if not passages:
            return _Draft(fill(plan, texts, self._tokenizer.text).ids, [], invoking, messages)
        marked = self._planner.number_of(asked, asked.first)
        marks = list(accumulate(map(len, lines[:-1])))
        filled = fill(plan, texts, self._tokenizer.text, marked, marks)
        if not filled.marks:  # the template rewrites the message: each entry is counted by itself
            sizes = [len(self._tokenizer.text.encode_text(line, False)) for line in lines[1:-1]]
        else:
            sizes = [end - begin for begin, end in pairwise(filled.marks)]
        return _Draft(filled.ids, sizes, invoking, messages)


def _too_long(tokens: str, limit: int, told: str) -> str:
    return f"the prompt has {tokens} tokens without any passage, at most {max(limit, 0):,} fit {told}"


def _fitting(draft: _Draft, limit: int, passage_tokens: int | None) -> int:
    """How many passages can stay, by the sizes of their entries in this draft. Fewer than it has if it is too long."""
    count = len(draft.sizes)
    total, entries = len(draft.ids), sum(draft.sizes)
    while count and (total > limit or (passage_tokens is not None and entries > passage_tokens)):
        count -= 1
        total -= draft.sizes[count]
        entries -= draft.sizes[count]
    return count
