"""What a chat template writes around what is put in.

The template is rendered with each text that is put in as `Text`, which knows in the output where it came from. Control
tokens are looked for in what the template itself wrote; what was put in lies between them, whatever it says.

What varies between requests is put in as a word that notices what the template asks of it (`watched_text`). If all it
asked is whether certain words occur, the skeleton is good for all texts without them; `needles` are these words.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trivet.prompts.rendering.chat_template import NO_SWITCHES, ChatTemplate, Moment, Switches
from trivet.prompts.rendering.provenance import TRUSTED, UNKNOWN, Text, concatenated, spans_of
from trivet.prompts.rendering.watched_text import Watch, WatchedText
from trivet.prompts.tokenizer.text_tokenizer import TextTokenizer
from trivet.prompts.tokenizer.white_space import UNICODE_WHITE_SPACE

_STAND_IN = "\ua98f\ua9a4\ua9a0\ua9ab"  # letters that no template looks for


@dataclass(frozen=True, slots=True)
class Slot:
    """Where text number `source` stands, from character `start` to `end` (None: to its end)."""

    source: int
    start: int = 0
    end: int | None = None

    def fill(self, text: str) -> str:
        """The part of this text that stands here."""
        return text[self.start : self.end] if self.start or self.end is not None else text


@dataclass(frozen=True, slots=True)
class Stray:
    """Text that the template computed, of what was put in or of numbers."""

    text: str


Piece = str | Slot | Stray


@dataclass(frozen=True, slots=True)
class Run:
    """Text between two control tokens: pieces of the template and slots. Its neighbours may swallow outer blanks."""

    pieces: tuple[Piece, ...]
    initial: bool
    strip_left: bool
    strip_right: bool

    def strip(self, text: str) -> str:
        """The text less what the neighbouring control tokens swallow."""
        if self.strip_left:
            text = text.lstrip(UNICODE_WHITE_SPACE)
        return text.rstrip(UNICODE_WHITE_SPACE) if self.strip_right else text


@dataclass(frozen=True, slots=True)
class Control:
    """A control token of the template."""

    id: int


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Control tokens and the runs between them.

    `needles`: it is good for all texts that contain none of them and have no blanks at their ends; None if it is good
    for those alone that it was made with.
    """

    parts: tuple[Control | Run, ...]
    needles: frozenset[str] | None

    @property
    def sources(self) -> set[int]:
        """The numbers of the texts that stand in it, wholly or in part."""
        runs = (part.pieces for part in self.parts if isinstance(part, Run))
        return {piece.source for pieces in runs for piece in pieces if isinstance(piece, Slot)}


@dataclass(frozen=True, slots=True)
class Turn:
    """One message: the texts that its content consists of, None for one that varies, and what else it holds."""

    role: str
    texts: tuple[str | None, ...]
    others: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Setting:
    """What else a template is given beside the messages."""

    moment: Moment
    switches: Switches = NO_SWITCHES
    tools: tuple[Mapping[str, Any], ...] = field(default=(), compare=False)


class SkeletonBuilder:
    """Makes skeletons for one template and tokenizer.

    `in_parts`: the template takes each content as a list of parts, of which ours has one, and not as a string.
    """

    def __init__(self, template: ChatTemplate, tokenizer: TextTokenizer, in_parts: bool = False) -> None:
        self._template = template
        self._in_parts = in_parts
        self._tokenizer = tokenizer
        secret = secrets.token_hex(12)
        self._word = f"x{secret}n{{}}z"
        self._find_word = re.compile(f"x{secret}n([0-9]+)z")

    def build(self, turns: Sequence[Turn], setting: Setting) -> Skeleton:
        """Raises TemplateRefusal from the template. Texts are numbered as they come, over all turns."""
        watch = Watch()
        rendered = self.render(turns, setting, watch)
        texts = [text for turn in turns for text in turn.texts]
        varying = {source for source, text in enumerate(texts) if text is None}
        parts = tuple(self._segment(rendered, varying))
        reusable = bool(varying) and not watch.any_other and not _leaks(rendered)
        return Skeleton(parts, frozenset(watch.needles) if reusable else None)

    def render(self, turns: Sequence[Turn], setting: Setting, watch: Watch, stand_in: str = _STAND_IN) -> Text:
        """What the template makes of them; raises TemplateRefusal. `stand_in` is put in for what varies."""
        messages: list[dict[str, Any]] = []
        source = 0
        for turn in turns:
            pieces: list[str] = []
            for text in turn.texts:
                if text is None:
                    pieces.append(WatchedText(stand_in, ((len(stand_in), source, 0),), watch))
                else:
                    pieces.append(Text.from_source(text, source))
                source += 1
            content = concatenated(pieces)
            given = [{"type": Text.trusted("text"), "text": content}] if self._in_parts else content
            messages.append({"role": Text.trusted(turn.role), "content": given, **turn.others})
        return self._template.render(messages, setting.moment, setting.switches, setting.tools)

    def _segment(self, rendered: Text, varying: Collection[int]) -> Iterator[Control | Run]:
        """Cut the rendering at its control tokens, which are looked for where words stand for what was put in."""
        shadow, put_in = self._shadow(rendered, varying)
        at, strip_left, initial = 0, False, True
        for control in self._tokenizer.find_controls(shadow):
            pieces = self._pieces(shadow[at : control.start], put_in)
            if pieces:
                yield Run(pieces, initial, strip_left, control.strips_left)
            yield Control(control.id)
            at, strip_left, initial = control.end, control.strips_right, False
        if pieces := self._pieces(shadow[at:], put_in):
            yield Run(pieces, initial, strip_left, False)

    def _shadow(self, rendered: Text, varying: Collection[int]) -> tuple[str, list[list[Slot | Stray]]]:
        """The rendering with a word for each stretch that the template did not write, and what these stand for."""
        shadow: list[str] = []
        put_in: list[list[Slot | Stray]] = []
        at, within = 0, False
        text = "".join((rendered,))
        for size, source, offset in spans_of(rendered):
            if source == TRUSTED:
                shadow.append(text[at : at + size])
            else:
                if not within:
                    shadow.append(self._word.format(len(put_in)))
                    put_in.append([])
                whole = source in varying and size == len(_STAND_IN)
                slot = Slot(source) if whole else Slot(source, offset, offset + size)
                put_in[-1].append(Stray(text[at : at + size]) if source == UNKNOWN else slot)
            within = source != TRUSTED
            at += size
        return "".join(shadow), put_in

    def _pieces(self, shadow: str, put_in: Sequence[Sequence[Slot | Stray]]) -> tuple[Piece, ...]:
        pieces: list[Piece] = []
        for i, piece in enumerate(self._find_word.split(shadow)):
            if i % 2:
                pieces += put_in[int(piece)]
            elif piece:
                pieces.append(piece)
        return tuple(pieces)


def _leaks(rendered: Text) -> bool:
    """Whether text that varies came out in another form, or in part."""
    at = 0
    for size, source, _ in spans_of(rendered):
        piece = str.__getitem__(rendered, slice(at, at + size))
        at += size
        if (source < 0 or piece != _STAND_IN) and any(letter in piece for letter in _STAND_IN):
            return True
    return False
