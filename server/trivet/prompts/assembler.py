"""One prompt version under one model's tokenizer: from a conversation and passages to token ids, stable first."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise

from trivet.errors import ConfigError, InvalidRequest, PromptTooLong, Unsupported
from trivet.prompts.chat_template import TemplateRefusal
from trivet.prompts.chat_tokenizer import ChatTokenizer
from trivet.prompts.layout import check_conversation, check_variables, lay_out, passage_lines, place_of
from trivet.prompts.plan import Plan, common_beginning, fill, make_plan, stable_ids
from trivet.prompts.source import PromptSource, Role
from trivet.types.passage import Passage
from trivet.types.prompt import AssembledPrompt, Prefix
from trivet.types.request import Message

_SHAPES: tuple[tuple[Role, ...], ...] = (
    ("user",),
    ("user", "assistant", "user"),
    ("user", "assistant") * 2 + ("user",),
)
_PLANS_KEPT = 256
_LONGEST_KEPT_BLANK = 64


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
        passages: Sequence[Passage] = (),
        passage_tokens: int | None = None,
    ) -> AssembledPrompt:
        """The ids of one request; at most `context_tokens - max_tokens` of them.

        Passages come best first. Whole ones are dropped from the end until the prompt fits and the entries of those
        left have at most `passage_tokens` tokens together (None: no such bound). Raises InvalidRequest for wrong
        roles, variables and half surrogate pairs, PromptTooLong if it does not fit without any passage.
        """
        roles = check_conversation(messages)
        values = check_variables(self._prompt, variables or {})
        limit = context_tokens - max_tokens
        count = len(passages)
        while True:
            draft = self._draft(roles, messages, values, passages[:count])
            fitting = _fitting(draft, limit, passage_tokens)
            if fitting == count and len(draft.ids) <= limit:
                return self._result(draft.ids, passages, count)
            if count == 0:
                raise PromptTooLong(
                    f"the prompt has {len(draft.ids):,} tokens without any passage, at most {max(limit, 0):,} fit "
                    f"({context_tokens:,} of context less {max_tokens:,} for the answer)"
                )
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

    def _draft(
        self,
        roles: tuple[Role, ...],
        messages: Sequence[Message],
        values: Mapping[str, str],
        passages: Sequence[Passage],
    ) -> _Draft:
        lines = passage_lines(self._prompt.passages_header, passages)
        first = roles.index("user")
        conversation = [message.content for message in messages]
        conversation[first] = "".join(lines) + conversation[first]
        parts = lay_out(self._prompt, roles, self._tokenizer.takes_system)
        contents = {i: part.text(values, conversation) for i, part in enumerate(parts) if not part.static}
        blanks = tuple((i, text) for i, text in contents.items() if not text.strip())
        keep = all(len(text) <= _LONGEST_KEPT_BLANK for _, text in blanks)
        try:
            plan = (self._cached_plan if keep else self._make_plan)(roles, blanks)
        except TemplateRefusal as refusal:
            problem = f"the model's chat template refuses this sequence of messages: {refusal}"
            raise InvalidRequest({"messages": problem}) from None
        if not passages:
            return _Draft(fill(plan, contents, self._tokenizer.text).ids, [])
        message, start = place_of(parts, first, values)
        marks = list(accumulate(map(len, lines[:-1]), initial=start))[1:]
        filled = fill(plan, contents, self._tokenizer.text, message, marks)
        return _Draft(filled.ids, [end - begin for begin, end in pairwise(filled.marks)])

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


def _fitting(draft: _Draft, limit: int, passage_tokens: int | None) -> int:
    """How many passages can stay, by the sizes of their entries in this draft. Fewer than it has if it is too long."""
    count = len(draft.sizes)
    total, entries = len(draft.ids), sum(draft.sizes)
    while count and (total > limit or (passage_tokens is not None and entries > passage_tokens)):
        count -= 1
        total -= draft.sizes[count]
        entries -= draft.sizes[count]
    return count
