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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trivet.prompts.template.source import Placeholder, PromptSource, Role


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
    def statics(self) -> tuple[str | None, ...]:
        """Its texts, None for one that varies between requests."""
        return tuple(piece if isinstance(piece, str) else None for piece in self.pieces)

    @property
    def index(self) -> int | None:
        """The number of the conversation's message that stands in it."""
        return next((piece.index for piece in self.pieces if isinstance(piece, FromConversation)), None)


def lay_out(prompt: PromptSource, roles: Sequence[Role], takes_system: bool) -> tuple[Part, ...]:
    """All messages for a conversation with these roles. A client's system text follows the prompt's own."""
    parts = [Part(turn.role, turn.pieces) for turn in prompt.turns]
    said = [Part(role, (FromConversation(i),)) for i, role in enumerate(roles)]
    if roles[0] == "system":
        own = (*parts.pop(0).pieces, "\n\n") if parts and parts[0].role == "system" else ()
        parts.insert(0, Part("system", _joined((*own, *said.pop(0).pieces))))
    parts += said
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


def texts_of(parts: Sequence[Part], values: Mapping[str, str], conversation: Sequence[str]) -> list[str]:
    """Every text of these messages, in order: what their pieces are for this request."""
    return [
        piece if isinstance(piece, str)
        else values[piece.name] if isinstance(piece, Placeholder)
        else conversation[piece.index]
        for part in parts for piece in part.pieces
    ]  # fmt: skip


def number_of(parts: Sequence[Part], index: int) -> int:
    """The number of the conversation's message `index` among the texts of all."""
    return [piece for part in parts for piece in part.pieces].index(FromConversation(index))
