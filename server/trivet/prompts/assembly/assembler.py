"""One prompt version under one model's tokenizer: from a conversation and passages to token ids, stable first."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate, pairwise

from trivet.errors import ConfigError, InvalidRequest, PromptTooLong, Unsupported
from trivet.prompts.assembly.layout import check_conversation, check_variables, encodable, lay_out, place_of
from trivet.prompts.assembly.passage_block import passage_lines
from trivet.prompts.assembly.plan import Plan, common_beginning, fill, fits, make_plan, size_of, stable_ids
from trivet.prompts.template.source import Placeholder, PromptSource, Role, Variable
from trivet.prompts.tokenizer.chat_template import TemplateRefusal
from trivet.prompts.tokenizer.chat_tokenizer import ChatTokenizer
from trivet.prompts.tokenizer.text_tokenizer import LONG_TEXT
from trivet.prompts.tokenizer.token_bytes import has_more_bytes
from trivet.types.passage import Passage
from trivet.types.prompt import AssembledPrompt, Prefix, WorkedExample
from trivet.types.request import Message

_SHAPES: tuple[tuple[Role, ...], ...] = (
    ("user",),
    ("user", "assistant", "user"),
    ("user", "assistant") * 2 + ("user",),
)
_PLANS_KEPT = 256
_LONGEST_KEPT_BLANK = 64


@dataclass(frozen=True, slots=True)
class _AssemblyRequest:
    """A conversation and the variables' values. `first`: the user message that gets the passages."""

    roles: tuple[Role, ...]
    contents: tuple[str, ...]
    values: Mapping[str, str]
    examples: int = 0

    @property
    def first(self) -> int:
        return 2 * self.examples + self.roles[2 * self.examples :].index("user")

    def after(self, examples: Sequence[WorkedExample]) -> _AssemblyRequest:
        """The same with examples before it, the nearest last."""
        turns = [encodable(text) for one in reversed(examples) for text in (one.question, one.answer)]
        roles: tuple[Role, ...] = ("user", "assistant") * len(examples)
        return _AssemblyRequest(roles + self.roles, (*turns, *self.contents), self.values, len(examples))


@dataclass(frozen=True, slots=True)
class _Draft:
    """One try. `sizes`: the tokens of each passage's entry, its number and line end included."""

    ids: list[int]
    sizes: list[int]


class PromptAssembler:
    """Assembles one prompt version for one tokenizer. Safe to share between threads."""

    def __init__(self, prompt: PromptSource, tokenizer: ChatTokenizer) -> None:
        """Tokenizes the prefix. Raises ConfigError if the model's chat template cannot express the prompt."""
        self._prompt = prompt
        self._tokenizer = tokenizer
        self._placeholders = {
            piece.name for turn in prompt.turns for piece in turn.pieces if isinstance(piece, Placeholder)
        }
        self._cached_plan = lru_cache(maxsize=_PLANS_KEPT)(self._make_plan)
        try:
            self.prefix = self._make_prefix()
        except (TemplateRefusal, Unsupported) as error:
            problem = f"the model's chat template does not take this prompt ({error})"
            raise ConfigError([f"{prompt.path}:1: {problem}, expected one that puts every message in"]) from None

    def assemble(
        self,
        messages: Sequence[Message],
        *,
        context_tokens: int,
        max_tokens: int,
        variables: Mapping[str, str] | None = None,
        also_known: Collection[str] = (),
        passages: Sequence[Passage] = (),
        passage_tokens: int | None = None,
        examples: Sequence[WorkedExample] = (),
        example_tokens: int | None = None,
    ) -> AssembledPrompt:
        """The ids of one request; at most `context_tokens - max_tokens` of them.

        Passages come best first, examples nearest first (in the prompt the nearest stands last). First examples and
        then passages are dropped whole, from the end, until the prompt fits, the examples' own text has at most
        `example_tokens` tokens and the entries of the passages at most `passage_tokens` (None: no such bound).
        Variables that are only `also_known`, to other prompts of the route, are left out. Raises InvalidRequest for
        wrong roles, variables and half surrogate pairs, PromptTooLong if it does not fit without any of them.
        """
        limit = context_tokens - max_tokens
        told = f"({context_tokens:,} of context less {max_tokens:,} for the answer)"
        asked = self._asked(messages, variables or {}, also_known)
        self._refuse_too_long(asked, limit, told)
        made = self._with_fitting(asked, passages, limit, passage_tokens)
        if made is None:
            raise self._refusal(asked, limit, told)
        shown = self._within(examples, example_tokens) if asked.roles[0] == "user" else ()
        for count in range(len(shown), 0, -1):
            draft = self._draft(asked.after(shown[:count]), made.passages)
            if len(draft.ids) <= limit:
                with_examples = self._result(draft.ids, passages, len(made.passages))
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
    ) -> None:
        """Raise what `assemble` raises for this request whatever passages it is given, in less time than that takes.

        What has no more bytes than there is room for tokens is not counted.
        """
        limit = context_tokens - max_tokens
        told = f"({context_tokens:,} of context less {max_tokens:,} for the answer)"
        asked = self._asked(messages, variables or {}, also_known)
        self._refuse_too_long(asked, limit, told)
        plan, contents = self._planned(asked, asked.contents)
        if size_of(plan, contents) > limit and not fits(plan, contents, self._tokenizer.text, limit):
            raise self._refusal(asked, limit, told)

    @property
    def variables(self) -> Mapping[str, Variable]:
        """What the prompt declares, by name."""
        return self._prompt.variables

    def bytes_within(self, tokens: int) -> int:
        """Bytes of text that may fit into so many tokens: of what has more, nothing needs to be looked at."""
        return max(0, tokens) * self._tokenizer.text.bytes_per_token

    def _asked(
        self, messages: Sequence[Message], variables: Mapping[str, str], also_known: Collection[str]
    ) -> _AssemblyRequest:
        roles = check_conversation(messages)
        values = check_variables(self._prompt, variables, also_known)
        return _AssemblyRequest(roles, tuple(message.content for message in messages), values)

    def _refusal(self, asked: _AssemblyRequest, limit: int, told: str) -> PromptTooLong:
        """Of one that `_refuse_too_long` let pass: short enough to be counted."""
        return PromptTooLong(_too_long(f"{len(self._draft(asked, ()).ids):,}", limit, told))

    def _refuse_too_long(self, asked: _AssemblyRequest, limit: int, told: str) -> None:
        """Raise PromptTooLong for a long text that does not fit, for no more work than one that does would be."""
        used = [text for name, text in asked.values.items() if name in self._placeholders]
        fitting = self.bytes_within(limit)
        if has_more_bytes((*asked.contents, *used), fitting):
            raise PromptTooLong(
                f"the text has more than {fitting:,} bytes, which is the most that can fit into {max(limit, 0):,} "
                f"tokens {told}"
            )
        plan, contents = self._planned(asked, asked.contents)
        if sum(map(len, contents.values())) > LONG_TEXT and not fits(plan, contents, self._tokenizer.text, limit):
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
        self, asked: _AssemblyRequest, passages: Sequence[Passage], limit: int, passage_tokens: int | None
    ) -> AssembledPrompt | None:
        """With as many of the passages as there is room for; None if not even a prompt without any fits."""
        count = len(passages)
        while True:
            draft = self._draft(asked, passages[:count])
            fitting = _fitting(draft, limit, passage_tokens)
            if fitting == count and len(draft.ids) <= limit:
                return self._result(draft.ids, passages, count)
            if count == 0:
                return None
            count = fitting

    def _result(self, ids: list[int], passages: Sequence[Passage], count: int) -> AssembledPrompt:
        token_ids = tuple(ids)
        held = token_ids[: self.prefix.tokens] == self.prefix.token_ids
        return AssembledPrompt(
            token_ids=token_ids,
            prefix_tokens=self.prefix.tokens if held else 0,
            prefix_fingerprint=self.prefix.fingerprint if held else "",
            passages=tuple(passages[:count]),
            dropped=tuple(passages[count:]),
        )

    def _draft(self, asked: _AssemblyRequest, passages: Sequence[Passage]) -> _Draft:
        lines = passage_lines(self._prompt.passages_header, passages, self._prompt.source_mark)
        conversation = list(asked.contents)
        conversation[asked.first] = "".join(lines) + conversation[asked.first]
        plan, contents = self._planned(asked, conversation)
        if not passages:
            return _Draft(fill(plan, contents, self._tokenizer.text).ids, [])
        parts = lay_out(self._prompt, asked.roles, self._tokenizer.takes_system)
        message, start = place_of(parts, asked.first, asked.values)
        marks = list(accumulate(map(len, lines[:-1]), initial=start))[1:]
        filled = fill(plan, contents, self._tokenizer.text, message, marks)
        return _Draft(filled.ids, [end - begin for begin, end in pairwise(filled.marks)])

    def _planned(self, asked: _AssemblyRequest, conversation: Sequence[str]) -> tuple[Plan, dict[int, str]]:
        """The plan for this sequence of messages, and what goes into it by message number; raises InvalidRequest."""
        parts = lay_out(self._prompt, asked.roles, self._tokenizer.takes_system)
        contents = {i: part.text(asked.values, conversation) for i, part in enumerate(parts) if not part.static}
        blanks = tuple((i, text) for i, text in contents.items() if not text or text.isspace())
        keep = all(len(text) <= _LONGEST_KEPT_BLANK for _, text in blanks)
        try:
            return (self._cached_plan if keep else self._make_plan)(asked.roles, blanks), contents
        except TemplateRefusal as refusal:
            problem = f"the model's chat template refuses this sequence of messages: {refusal}"
            raise InvalidRequest({"messages": problem}) from None

    def _make_plan(self, roles: tuple[Role, ...], blanks: tuple[tuple[int, str], ...]) -> Plan:
        parts = lay_out(self._prompt, roles, self._tokenizer.takes_system)
        blank = dict(blanks)
        skeleton = self._tokenizer.skeleton(tuple((part.role, blank.get(i)) for i, part in enumerate(parts)))
        return make_plan(skeleton, parts, self._tokenizer.text)

    def _make_prefix(self) -> Prefix:
        """What all shapes of conversation begin with: a template may put the system text elsewhere in some."""
        ids: list[int] = []
        static = ""
        for roles in _SHAPES:
            parts = lay_out(self._prompt, roles, self._tokenizer.takes_system)
            try:
                plan = self._cached_plan(roles, ())
            except (TemplateRefusal, Unsupported):
                if roles == _SHAPES[0]:
                    raise
                continue
            stable = stable_ids(plan, parts, self._tokenizer.text)
            ids = stable if roles == _SHAPES[0] else common_beginning(ids, stable)
            static = static or plan.static
        digest = hashlib.sha256(static.encode("utf-8", "surrogatepass"))
        digest.update(b"".join(token.to_bytes(4, "little") for token in ids))
        return Prefix(self._prompt.ref, tuple(ids), digest.hexdigest())


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
