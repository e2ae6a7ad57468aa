"""The input of a response: items, and the conversation that they are.

Source: https://platform.openai.com/docs/api-reference/responses/create
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Discriminator, Tag

from trivet.api.v1 import inference_pb2
from trivet.http.chat.messages import text_of
from trivet.http.forms.form import Form
from trivet.http.forms.parameters import neutral

_Status = Literal["in_progress", "completed", "incomplete"]
BETWEEN_TEXTS = "\n\n"  # several of the developer's are one system message


class _Item(Form):
    """One item. What an earlier answer's has beside its content is taken back, and not looked at."""

    id: str | None = None
    status: _Status | None = None


class MessageItem(_Item):
    """What somebody said."""

    type: Literal["message"] | None = None
    role: Literal["user", "assistant", "system", "developer"]
    content: Annotated[str, text_of("input_text", "output_text")]
    phase: str | None = None


class FunctionCallItem(_Item):
    """A call that an earlier answer asked for; `arguments` is JSON text."""

    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str
    namespace: Annotated[None, neutral()] = None
    caller: Annotated[None, neutral({"type": "direct"})] = None


class FunctionCallOutputItem(_Item):
    """What a call gave."""

    type: Literal["function_call_output"]
    call_id: str
    output: Annotated[str, text_of("input_text")]
    name: str | None = None
    caller: Annotated[None, neutral({"type": "direct"})] = None


class ReasoningText(Form):
    """Some thoughts."""

    type: Literal["reasoning_text"]
    text: str


class ReasoningItem(_Item):
    """What an earlier answer thought."""

    type: Literal["reasoning"]
    summary: Annotated[None, neutral([], why="thoughts are taken whole, in `content`")] = None
    content: list[ReasoningText] | None = None
    encrypted_content: Annotated[None, neutral(why="can be read by the server that made it alone")] = None


_TAGS = {
    "message": "a message",
    "function_call": "a call",
    "function_call_output": "a call's output",
    "reasoning": "some reasoning",
}  # no identifiers: only those are told as parts of a field's name


def _tag(item: object) -> str | None:
    kind = item.get("type") if isinstance(item, dict) else None
    if kind is None and isinstance(item, dict) and "role" in item:
        kind = "message"
    return _TAGS.get(kind) if isinstance(kind, str) else None


InputItem = Annotated[
    Annotated[MessageItem, Tag(_TAGS["message"])]
    | Annotated[FunctionCallItem, Tag(_TAGS["function_call"])]
    | Annotated[FunctionCallOutputItem, Tag(_TAGS["function_call_output"])]
    | Annotated[ReasoningItem, Tag(_TAGS["reasoning"])],
    Discriminator(
        _tag,
        custom_error_type="item_type",
        custom_error_message="expected type message, function_call, function_call_output or reasoning",
    ),
]


def as_items(value: object) -> object:
    """A text is the user's message."""
    return [{"role": "user", "content": value}] if isinstance(value, str) else value


@dataclass(slots=True)
class _Draft:
    """A message while it is put together, in time that grows with its length."""

    role: str
    content: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: list[inference_pb2.ToolCall] = field(default_factory=list)
    tool_call_id: str = ""
    name: str = ""

    def message(self) -> inference_pb2.Message:
        between = BETWEEN_TEXTS if self.role == "system" else ""
        return inference_pb2.Message(
            role=self.role,
            content=between.join(self.content),
            reasoning="".join(self.reasoning),
            tool_calls=self.calls,
            tool_call_id=self.tool_call_id,
            name=self.name,
        )


class Conversation:
    """Puts messages together from items: those of one turn of an assistant become one message.

    `names`: what errors call parts of the messages, and where these are in the body; the first that fits counts.
    """

    def __init__(self, instructions: str | None, items: Sequence[InputItem]) -> None:
        self._drafts: list[_Draft] = []
        self._parts: dict[str, str] = {}
        self._wholes: dict[str, str] = {}
        self._turn: _Draft | None = None  # the assistant's, while it is not over
        if instructions:
            self._add("instructions", _Draft("system", [instructions]))
            self._parts |= {f"messages[0].{part}": "instructions" for part in ("role", "content")}
        for position, item in enumerate(items):
            self._take(f"input[{position}]", item)
        self.names = {**self._parts, **self._wholes, "messages": "input"}

    def messages(self) -> list[inference_pb2.Message]:
        """The conversation in the contract's words."""
        return [draft.message() for draft in self._drafts]

    def _take(self, at: str, item: InputItem) -> None:
        if isinstance(item, MessageItem):
            self._said(at, item)
        elif isinstance(item, FunctionCallOutputItem):
            draft = _Draft("tool", [item.output], tool_call_id=item.call_id, name=item.name or "")
            place = self._add(at, draft)
            self._parts |= {f"{place}.content": f"{at}.output", f"{place}.tool_call_id": f"{at}.call_id"}
        elif isinstance(item, FunctionCallItem):
            turn = self._turn or self._begin_turn(at)
            call = f"messages[{len(self._drafts) - 1}].tool_calls[{len(turn.calls)}]"
            self._parts |= {f"{call}.id": f"{at}.call_id", call: at}
            turn.calls.append(inference_pb2.ToolCall(id=item.call_id, name=item.name, arguments=item.arguments))
        else:
            turn = self._speaking() or self._begin_turn(at)
            turn.reasoning.extend(part.text for part in item.content or ())

    def _said(self, at: str, item: MessageItem) -> None:
        if item.role == "assistant":
            turn = self._speaking() or self._begin_turn(at)
            turn.content.append(item.content)
        elif item.role == "user":
            self._add(at, _Draft("user", [item.content]))
        elif len(self._drafts) == 1 and self._drafts[0].role == "system":  # several texts of the developer's
            self._drafts[0].content.append(item.content)
        else:
            self._add(at, _Draft("system", [item.content]))

    def _speaking(self) -> _Draft | None:
        """The turn that some more text or thoughts belong to: none after a text that no call has followed."""
        turn = self._turn
        return None if turn is None or (turn.content and not turn.calls) else turn

    def _begin_turn(self, at: str) -> _Draft:
        turn = _Draft("assistant")
        self._add(at, turn)
        self._turn = turn
        return turn

    def _add(self, at: str, draft: _Draft) -> str:
        """What errors call it."""
        self._turn = None
        place = f"messages[{len(self._drafts)}]"
        self._wholes[place] = at
        self._drafts.append(draft)
        return place
