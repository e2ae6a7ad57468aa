"""Which plan a request's messages need: one that many share, or one of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache

from trivet.errors import InvalidRequest
from trivet.prompts.assembly.conversation import encodable
from trivet.prompts.assembly.layout import Part, lay_out, number_of, texts_of
from trivet.prompts.assembly.plan import Plan, common_beginning, make_plan, stable_ids
from trivet.prompts.assembly.tool_messages import other_fields
from trivet.prompts.rendering.chat_template import Moment, Switches, TemplateRefusal
from trivet.prompts.template.source import PromptSource, Role
from trivet.prompts.tokenizer.chat_tokenizer import ChatTokenizer
from trivet.prompts.tokenizer.skeleton import Setting, Turn
from trivet.types.prompt import Prefix, WorkedExample
from trivet.types.request import Message

_SHAPES: tuple[tuple[Role, ...], ...] = (
    ("user",),
    ("user", "assistant", "user"),
    ("user", "assistant") * 2 + ("user",),
)
_PLANS_KEPT = 256
_PREFIXES_KEPT = 64


@dataclass(frozen=True, slots=True)
class AssemblyRequest:
    """A conversation and the variables' values. `first`: the user message that gets the passages.

    `invocation`: of the adapter that answers, none of a plain one.
    """

    messages: tuple[Message, ...]
    values: Mapping[str, str]
    setting: Setting
    examples: int = 0
    invocation: tuple[int, ...] = ()

    @property
    def roles(self) -> tuple[Role, ...]:
        return tuple(message.role for message in self.messages)

    @property
    def contents(self) -> tuple[str, ...]:
        return tuple(message.content for message in self.messages)

    @property
    def first(self) -> int:
        return 2 * self.examples + self.roles[2 * self.examples :].index("user")

    @property
    def plain(self) -> bool:
        """Whether roles and contents are all that there is."""
        return not self.setting.tools and not any(map(other_fields, self.messages))

    def after(self, examples: Sequence[WorkedExample]) -> AssemblyRequest:
        """The same with examples before it, the nearest last."""
        turns: list[Message] = []
        for one in reversed(examples):
            turns += (Message("user", encodable(one.question)), Message("assistant", encodable(one.answer)))
        system = self.messages[: self.roles[0] == "system"]
        return replace(self, messages=(*system, *turns, *self.messages[len(system) :]), examples=len(examples))


class Planner:
    """Makes plans for one prompt version and tokenizer, and its prefix. Safe to share between threads."""

    def __init__(self, prompt: PromptSource, tokenizer: ChatTokenizer) -> None:
        self._prompt = prompt
        self._tokenizer = tokenizer
        self._parts = lru_cache(maxsize=_PLANS_KEPT)(self._lay_out)
        self._statics = lru_cache(maxsize=_PLANS_KEPT)(self._static_texts)
        self._shared_plan = lru_cache(maxsize=_PLANS_KEPT)(self._make_shared_plan)
        self._prefix_at = lru_cache(maxsize=_PREFIXES_KEPT)(self._make_prefix)
        self._latest: Moment | None = None

    def verify(self, switches: Switches) -> None:
        """Raise TemplateRefusal or Unsupported if the model's chat template cannot express the prompt."""
        self._tokenizer.verify(self._turns(_SHAPES[0]), switches)
        self.prefix(self._tokenizer.moment(), switches)

    def prefix(self, moment: Moment, switches: Switches) -> Prefix:
        """The static beginning; what a client asks of the template is left out of account."""
        prefix = self._prefix_at(moment, switches.own)
        self._latest = moment
        return prefix

    def knows(self, moment: Moment) -> bool:
        """Whether the prefix at this moment is computed; on a new day it is not, if the template writes the date."""
        return moment == self._latest

    def number_of(self, asked: AssemblyRequest, index: int) -> int:
        """The number of the conversation's message `index` among the texts of a plan."""
        return number_of(self._parts(asked.roles), index)

    def _lay_out(self, roles: tuple[Role, ...]) -> tuple[Part, ...]:
        return lay_out(self._prompt, roles, self._tokenizer.takes_system)

    def _static_texts(self, roles: tuple[Role, ...]) -> tuple[tuple[str | None, ...], ...]:
        return tuple(part.statics for part in self._parts(roles))

    def _turns(self, roles: tuple[Role, ...]) -> list[Turn]:
        return [Turn(part.role, part.statics) for part in self._parts(roles)]

    def plan(self, asked: AssemblyRequest, conversation: Sequence[str]) -> tuple[Plan, list[str]]:
        """The plan for this request, and the texts that go into it; raises InvalidRequest.

        Most requests share a plan with all that have the same roles. One that says what the template looks for, such as
        an earlier thought, has a plan of its own.
        """
        parts = self._parts(asked.roles)
        texts = texts_of(parts, asked.values, conversation)
        if asked.plain:
            with suppress(TemplateRefusal):  # of what stands in for the texts; what it says of these is told below
                shared = self._shared_plan(asked.roles, asked.setting)
                if _holds_for(shared, self._statics(asked.roles), texts):
                    return shared, texts
        try:
            numbers = iter(texts)
            turns = [
                Turn(
                    part.role,
                    tuple(next(numbers) for _ in part.pieces),
                    {} if part.index is None else other_fields(asked.messages[part.index]),
                )
                for part in parts
            ]
            statics = [text for part in parts for text in part.statics]
            return make_plan(self._tokenizer.skeleton(turns, asked.setting), statics, self._tokenizer.text), texts
        except TemplateRefusal as refusal:
            problem = f"the model's chat template refuses this sequence of messages: {refusal}"
            raise InvalidRequest({"messages": problem}) from None

    def messages(self, asked: AssemblyRequest, texts: Sequence[str]) -> tuple[Message, ...]:
        """The turns that a plan's texts say, without what a chat template would put around them."""
        numbers = iter(texts)
        return tuple(
            Message(part.role, "".join(next(numbers) for _ in part.pieces)) for part in self._parts(asked.roles)
        )

    def _make_shared_plan(self, roles: tuple[Role, ...], setting: Setting) -> Plan:
        turns = self._turns(roles)
        statics = [text for turn in turns for text in turn.texts]
        return make_plan(self._tokenizer.skeleton(turns, setting), statics, self._tokenizer.text)

    def _make_prefix(self, moment: Moment, own: str) -> Prefix:
        """What all shapes of conversation begin with: a template may put the system text elsewhere in some."""
        ids: list[int] = []
        static = ""
        for roles in _SHAPES:
            try:
                plan = self._shared_plan(roles, Setting(moment, Switches(own)))
            except TemplateRefusal:
                if roles == _SHAPES[0]:
                    raise
                continue
            stable = stable_ids(plan, self._tokenizer.text)
            ids = stable if roles == _SHAPES[0] else common_beginning(ids, stable)
            static = static or plan.static
        digest = hashlib.sha256(static.encode("utf-8", "surrogatepass"))
        digest.update(b"".join(token.to_bytes(4, "little") for token in ids))
        return Prefix(self._prompt.ref, tuple(ids), digest.hexdigest())


def _holds_for(plan: Plan, messages: Sequence[Sequence[str | None]], texts: Sequence[str]) -> bool:
    """Whether a plan that was made without these texts is good for them. `messages`: the static texts of each, None for
    one that varies."""
    if plan.needles is None:
        return False
    number = 0
    for statics in messages:
        said = texts[number : number + len(statics)]
        number += len(statics)
        varying = [text for text, static in zip(said, statics, strict=True) if static is None]
        if any(not text or text[0].isspace() or text[-1].isspace() for text in varying):
            return False
        if varying and plan.needles:
            whole, known = "".join(said), "\0".join(static for static in statics if static is not None)
            if any(whole.count(needle) != known.count(needle) for needle in plan.needles):
                return False
    return True
