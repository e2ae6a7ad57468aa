"""What a chat template writes around the contents, for one sequence of roles.

The template is rendered with a random word in place of every content, so what a content says can change nothing about
it: control tokens are looked for in the template's own text alone. Then real contents are put where the words were.
A content of blanks alone is rendered as it is, since templates may leave such a message out.

How the template trims contents is found by rendering again with blanks around the words. Finally one conversation is
tokenized both in this way and in Hugging Face's, and has to be equal; a template that does more to a content than trim
it is refused.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import product

from trivet.errors import Unsupported
from trivet.prompts.tokenizer.chat_template import ChatTemplate
from trivet.prompts.tokenizer.text_tokenizer import TextTokenizer
from trivet.prompts.tokenizer.white_space import UNICODE_WHITE_SPACE


class Trim(Enum):
    """What a template takes off one side of a content: nothing, Python's white space, or these characters."""

    NOTHING = ""
    ALL = None
    NEWLINES = "\n"
    BLANKS = " "

    def left(self, text: str) -> str:
        return text if self is Trim.NOTHING else text.lstrip(self.value)

    def right(self, text: str) -> str:
        return text if self is Trim.NOTHING else text.rstrip(self.value)


@dataclass(frozen=True, slots=True)
class Slot:
    """Where the content of message number `message` stands."""

    message: int
    left: Trim = Trim.NOTHING
    right: Trim = Trim.NOTHING

    def fill(self, content: str) -> str:
        return self.right.right(self.left.left(content))


@dataclass(frozen=True, slots=True)
class Run:
    """Text between two control tokens: pieces of the template and slots. Its neighbours may swallow outer blanks."""

    pieces: tuple[str | Slot, ...]
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


Skeleton = tuple[Control | Run, ...]
Shape = tuple[tuple[str, str | None], ...]
"""(role, the content if it is blank) of each message."""

_PADS = (("\n ", " \n"), (" \n", "\n "), ("\u3000\t", "\t\u3000"))
_SAMPLE = "Don't say “{}” & go.\n\n  Ünit C3: 12 %"


class SkeletonBuilder:
    """Makes skeletons for one template and tokenizer."""

    def __init__(self, template: ChatTemplate, tokenizer: TextTokenizer) -> None:
        self._template = template
        self._tokenizer = tokenizer
        secret = secrets.token_hex(12)
        self._word = f"x{secret}n{{}}z"
        self._find_word = re.compile(f"x{secret}n([0-9]+)z")

    def build(self, shape: Shape) -> Skeleton:
        """Raises TemplateRefusal from the template, Unsupported for a template that alters contents."""
        rendered = self._render(shape, "", "")
        numbers, literals = self._split(rendered)
        missing = [i for i, (_, blank) in enumerate(shape) if blank is None and i not in numbers]
        if missing:
            raise Unsupported(f"the chat template leaves out or alters the content of message {missing[0] + 1}")
        slots = self._trimmed(shape, numbers, literals)
        skeleton = self._segment(rendered, slots)
        self._verify(shape, skeleton)
        return skeleton

    def _render(self, shape: Shape, left: str, right: str) -> str:
        return self._template.render([
            (role, f"{left}{self._word.format(i)}{right}" if blank is None else blank)
            for i, (role, blank) in enumerate(shape)
        ])  # fmt: skip

    def _split(self, rendered: str) -> tuple[list[int], list[str]]:
        """The numbers of the words in order, and the n + 1 texts around them."""
        parts = self._find_word.split(rendered)
        return [int(number) for number in parts[1::2]], parts[::2]

    def _trimmed(self, shape: Shape, numbers: list[int], literals: list[str]) -> list[Slot]:
        """The slots with how each is trimmed: the one way on each side that explains every padded rendering."""
        padded: list[list[str]] = []
        for left, right in _PADS:
            found, texts = self._split(self._render(shape, left, right))
            if found != numbers:
                raise Unsupported("the chat template looks at the contents of messages")
            padded.append(texts)
        around = [self._explain(i, len(numbers), literals[i], [t[i] for t in padded]) for i in range(len(literals))]
        return [Slot(n, around[i][1], around[i + 1][0]) for i, n in enumerate(numbers)]

    @staticmethod
    def _explain(place: int, last: int, literal: str, padded: Sequence[str]) -> tuple[Trim, Trim]:
        """(trim of the right side of the slot before, of the left side of the slot after) the text at `place`."""
        for before, after in product(Trim, Trim):
            if all(
                ("" if place == 0 else before.right(right)) + literal + ("" if place == last else after.left(left))
                == text
                for (left, right), text in zip(_PADS, padded, strict=True)
            ):
                return before, after
        raise Unsupported("the chat template changes the blanks around contents in an unknown way")

    def _segment(self, rendered: str, slots: list[Slot]) -> Skeleton:
        """Cut the rendering at its control tokens."""
        remaining = iter(slots)
        parts: list[Control | Run] = []
        at, strip_left = 0, False
        for control in self._tokenizer.find_controls(rendered):
            pieces = tuple(self._pieces(rendered[at : control.start], remaining))
            if pieces:
                parts.append(Run(pieces, not parts, strip_left, control.strips_left))
            parts.append(Control(control.id))
            at, strip_left = control.end, control.strips_right
        if pieces := tuple(self._pieces(rendered[at:], remaining)):
            parts.append(Run(pieces, not parts, strip_left, False))
        return tuple(parts)

    def _pieces(self, text: str, slots: Iterator[Slot]) -> Iterator[str | Slot]:
        for i, piece in enumerate(self._find_word.split(text)):
            if i % 2:
                yield next(slots)
            elif piece:
                yield piece

    def _verify(self, shape: Shape, skeleton: Skeleton) -> None:
        contents = [_SAMPLE.format(i) if blank is None else blank for i, (_, blank) in enumerate(shape)]
        rendered = self._template.render([(role, contents[i]) for i, (role, _) in enumerate(shape)])
        ids: list[int] = []
        for part in skeleton:
            if isinstance(part, Control):
                ids.append(part.id)
                continue
            text = "".join(p if isinstance(p, str) else p.fill(contents[p.message]) for p in part.pieces)
            ids += self._tokenizer.encode_text(part.strip(text), part.initial).ids
        if ids != self._tokenizer.encode_all(rendered):
            raise Unsupported("the chat template and tokenizer do more to contents than put them in and trim them")
