"""The order of a prompt's messages, which models are trained on.

    system text, few-shot turns of the prompt file, worked examples out of an index, the conversation

Retrieved passages stand in the conversation's first user message, before the user's own text (see `passage_block`):

    Passages:
    [1] text of passage one
    [2] text of passage two

    the user's text

Templates that know no system role get the system text and an empty line before the first user message's text.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from trivet.errors import InvalidRequest, Problems
from trivet.excerpt import shortened
from trivet.prompts.template.source import Placeholder, PromptSource, Role
from trivet.types.request import Message


@dataclass(frozen=True, slots=True)
class FromConversation:
    """Stands for the text of the conversation's message number `index`, passages included."""

    index: int


Piece = str | Placeholder | FromConversation


@dataclass(frozen=True, slots=True)
class Part:
    """One message of the whole: what its content is made of."""

    role: Role
    pieces: tuple[Piece, ...]

    @property
    def static(self) -> bool:
        """The same for every request."""
        return all(isinstance(piece, str) for piece in self.pieces)

    def text(self, values: Mapping[str, str], conversation: Sequence[str]) -> str:
        """The content for one request. What a value says is never looked at again."""
        return "".join(
            piece if isinstance(piece, str)
            else values[piece.name] if isinstance(piece, Placeholder)
            else conversation[piece.index]
            for piece in self.pieces
        )  # fmt: skip

    @property
    def head(self) -> str:
        """The static beginning."""
        return self.pieces[0] if self.pieces and isinstance(self.pieces[0], str) else ""


def lay_out(prompt: PromptSource, roles: Sequence[Role], takes_system: bool) -> tuple[Part, ...]:
    """All messages for a conversation with these roles."""
    parts = [Part(turn.role, turn.pieces) for turn in prompt.turns]
    parts += [Part(role, (FromConversation(i),)) for i, role in enumerate(roles)]
    if takes_system or parts[0].role != "system":
        return tuple(parts)
    system, *others = parts
    first = next(i for i, part in enumerate(others) if part.role == "user")
    others[first] = Part("user", _joined((*system.pieces, "\n\n", *others[first].pieces)))
    return tuple(others)


def _joined(pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    """Neighbouring texts as one."""
    joined: list[Piece] = []
    for piece in pieces:
        if joined and isinstance(piece, str) and isinstance(joined[-1], str):
            joined[-1] += piece
        else:
            joined.append(piece)
    return tuple(joined)


def place_of(parts: Sequence[Part], index: int, values: Mapping[str, str]) -> tuple[int, int]:
    """(message number, first character in it) of the conversation's message `index` in the whole."""
    wanted = FromConversation(index)
    number = next(i for i, part in enumerate(parts) if wanted in part.pieces)
    pieces = parts[number].pieces
    before = Part(parts[number].role, pieces[: pieces.index(wanted)])
    return number, len(before.text(values, ()))


def check_conversation(messages: Sequence[Message]) -> tuple[Role, ...]:
    """The roles; raises InvalidRequest naming the message that is wrong."""
    if not messages:
        raise InvalidRequest({"messages": "is empty, expected at least one message"})
    problems = Problems()
    for i, message in enumerate(messages):
        known = message.role in ("user", "assistant")
        problems.expect(known, f"messages[{i}].role", f"is {message.role!r}, expected 'user' or 'assistant'")
        if problem := unicode_problem(message.content):
            problems.add(f"messages[{i}].content", problem)
    last_is_users = messages[-1].role == "user"
    problems.expect(last_is_users, f"messages[{len(messages) - 1}].role", "is not 'user', expected the last to be")
    problems.refuse()
    return tuple(message.role for message in messages)


def unicode_problem(text: str) -> str:
    """What keeps this from being Unicode text; empty if nothing does."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"has half a surrogate pair at character {error.start}, expected Unicode text"
    return ""


def encodable(text: str) -> str:
    """Text that an encoder takes: lone surrogates become U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def check_variables(prompt: PromptSource, given: Mapping[str, str], also_known: Collection[str] = ()) -> dict[str, str]:
    """A value for each of the prompt's variables; those that are only `also_known` are left out.

    Raises InvalidRequest naming `variables.<name>` for missing and unknown ones.
    """
    problems = Problems()
    values = {name: variable.default for name, variable in prompt.variables.items()}
    names = sorted({*prompt.variables, *also_known})
    known = f"expected one of: {', '.join(names)}" if names else "this route's prompts have no variables"
    for name, value in given.items():
        if name not in prompt.variables:
            if name in also_known:
                continue
            problems.add(f"variables.{shortened(name, 128)}", f"unknown, {known}")
            continue
        if problem := unicode_problem(value):
            problems.add(f"variables.{name}", problem)
        values[name] = value
    for name, filled in values.items():
        problems.expect(filled is not None, f"variables.{name}", "missing, expected a value")
    problems.refuse()
    return {name: value for name, value in values.items() if value is not None}
