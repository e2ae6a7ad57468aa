"""A conversation as the rewriting prompt shows it: one line for each turn, so that no turn can write another one."""

from __future__ import annotations

from collections.abc import Sequence

from trivet.prompts.assembly.conversation import encodable
from trivet.types.passage import QUERY_CHARACTERS
from trivet.types.request import Message
from trivet.types.variant import RewriteSettings

_NAMES = {"user": "User", "assistant": "Assistant"}
_HEADER = "Conversation:"
_LAST = "Last question:"
_LOOKED_AT = 4  # times as many characters as are shown: blanks and what is not seen count among them


def follows_up(messages: Sequence[Message]) -> bool:
    """Whether the last question has turns before it that it may refer to."""
    return bool(_earlier(messages))


def transcript(messages: Sequence[Message], settings: RewriteSettings) -> str:
    """The last turns before the question, as many as are wanted and have room, and the question. Of a turn that has
    more characters than there is room, the end."""
    lines: list[str] = []
    room = settings.max_characters
    for message in reversed(_earlier(messages)[-settings.max_turns :]):
        said = one_line(message.content[-_LOOKED_AT * room :])[-room:]
        lines.append(f"{_NAMES[message.role]}: {said}")
        room -= len(said)
        if room <= 0:
            break
    question = one_line(messages[_last_question(messages)].content[: _LOOKED_AT * QUERY_CHARACTERS])[:QUERY_CHARACTERS]
    return encodable("\n".join([_HEADER, *reversed(lines), "", f"{_LAST} {question}"]))


def one_line(text: str) -> str:
    """The text without what any reader takes for the end of a line, and without characters that are not seen."""
    return " ".join("".join(one if one.isprintable() or one.isspace() else "" for one in text).split())


def _earlier(messages: Sequence[Message]) -> list[Message]:
    """Turns with a text before the last question; calls of tools and their answers are none."""
    before = messages[: _last_question(messages)]
    return [one for one in before if one.role in _NAMES and not (one.content == "" or one.content.isspace())]


def _last_question(messages: Sequence[Message]) -> int:
    return max(number for number, message in enumerate(messages) if message.role == "user")
