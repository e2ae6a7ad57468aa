"""How the messages of one shape become token ids: what is static is tokenized once, the rest is filled in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Encoding

from trivet.prompts.tokenizer.skeleton import Control, Run, Skeleton, Slot, Stray
from trivet.prompts.tokenizer.text_tokenizer import TextTokenizer
from trivet.prompts.tokenizer.white_space import UNICODE_WHITE_SPACE

_MOST_DROPPED = 8  # characters that a normalizer takes out in a row; where more are, a count is off, no more
_CONTINUATIONS = (
    "", "a", "A", "zz", "0", "00", " ", "  ", " a", " A", " 0", "\n", "\n\n", "\n a", " \n", "\t", "\r\n", "\0",
    ".", ",", "-", "'s", "’s", "_", "/", "<", "<|", "[", '"', ")", " (",
    "é", "\u0301", "\u200d", "\u3000", "中", "😀", "▁", "ﬁ",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plan:
    """Static ids and runs of text with slots, in turn. `static` is all text before the first thing that varies.

    `needles`: see `Skeleton`.
    """

    steps: tuple[tuple[int, ...] | Run, ...]
    static: str
    needles: frozenset[str] | None

    @property
    def tail(self) -> tuple[int, ...]:
        """The ids that the prompt ends with, whatever is put in: the template lets the assistant speak."""
        last = self.steps[-1]
        return last if isinstance(last, tuple) else ()


@dataclass(frozen=True, slots=True)
class Filled:
    """A plan with its texts put in. `marks[i]`: how many ids stand before the i-th mark asked for."""

    ids: list[int]
    marks: list[int]


def make_plan(skeleton: Skeleton, statics: Sequence[str | None], tokenizer: TextTokenizer) -> Plan:
    """Tokenize everything of the skeleton that is the same for each request.

    `statics`: the texts by their number, None for one that varies.
    """
    steps: list[tuple[int, ...] | Run] = []
    static: list[str] = []
    ids: list[int] = []
    for element in skeleton.parts:
        if isinstance(element, Control):
            ids.append(element.id)
            continue
        run = _with_static_texts(element, statics)
        if not steps:
            static.append(_static_text(run))
        if all(isinstance(piece, str) for piece in run.pieces):
            ids += tokenizer.static_ids(run.strip("".join(map(str, run.pieces))), run.initial)
            continue
        steps += [tuple(ids), run]
        ids = []
    return Plan((*steps, tuple(ids)), "\0".join(static), skeleton.needles)


def stable_ids(plan: Plan, tokenizer: TextTokenizer) -> list[int]:
    """The ids that every prompt of this plan begins with."""
    head, run = plan.steps[0], plan.steps[1] if len(plan.steps) > 1 else ()
    ids = list(head) if isinstance(head, tuple) else []
    if isinstance(run, Run):
        ids += _stable_beginning(_static_text(run), run.initial, tokenizer)
    return ids


def _with_static_texts(run: Run, statics: Sequence[str | None]) -> Run:
    """Static texts become text of the template; neighbouring texts become one."""
    pieces: list[str | Slot | Stray] = []
    for piece in run.pieces:
        if isinstance(piece, Slot) and (text := statics[piece.source]) is not None:
            piece = piece.fill(text)
        if pieces and isinstance(piece, str) and isinstance(pieces[-1], str):
            pieces[-1] += piece
        else:
            pieces.append(piece)
    return Run(tuple(pieces), run.initial, run.strip_left, run.strip_right)


def _static_text(run: Run) -> str:
    """The beginning of a run that no request changes."""
    text = run.pieces[0] if run.pieces and isinstance(run.pieces[0], str) else ""
    return text.lstrip(UNICODE_WHITE_SPACE) if run.strip_left else text


def _stable_beginning(text: str, initial: bool, tokenizer: TextTokenizer) -> list[int]:
    """The ids that `text` begins with whatever follows it.

    No token may reach over the end of the text into what follows. Tokens do not reach from one word over blanks into
    the next, so the last word and the blanks before it are given up; that what is left is stable is tried with a number
    of continuations.
    """
    stable: list[int] = tokenizer.encode_text(without_last_word(text), initial).ids
    for continuation in _CONTINUATIONS:
        stable = common_beginning(stable, tokenizer.encode_text(text + continuation, initial).ids)
    return stable


def without_last_word(text: str) -> str:
    """What stands before the last word and the blanks before it; the blanks at the end, if it ends with some."""
    words = text.rstrip()
    if words == text and text:
        words = text[: len(text) - len(text.rsplit(maxsplit=1)[-1])]
    return words.rstrip()


def common_beginning(one: list[int], other: list[int]) -> list[int]:
    """The longest beginning that both have."""
    same = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[:same]


def size_of(plan: Plan, texts: Sequence[str]) -> int:
    """Bytes of the plan with its texts (by number), its ids counted as one each."""
    sizes = (len(step if isinstance(step, tuple) else _text(step, texts, -1)[0].encode()) for step in plan.steps)
    return sum(sizes)


def fits(plan: Plan, texts: Sequence[str], tokenizer: TextTokenizer, most: int) -> bool:
    """Whether the plan with its texts (by number) has at most `most` ids."""
    left = most
    for step in plan.steps:
        if isinstance(step, tuple):
            left -= len(step)
            continue
        tokens = tokenizer.count_within(_text(step, texts, -1)[0], step.initial, max(0, left))
        if tokens is None:
            return False
        left -= tokens
    return left >= 0


def fill(
    plan: Plan, texts: Sequence[str], tokenizer: TextTokenizer, marked: int = -1, marks: Sequence[int] = ()
) -> Filled:
    """Put the texts (by number) in. `marks` are characters of text `marked`; none are found if it is not there."""
    ids: list[int] = []
    found: list[int] = []
    for step in plan.steps:
        if isinstance(step, tuple):
            ids += step
            continue
        text, at = _text(step, texts, marked)
        encoding = tokenizer.encode_text(text, step.initial)
        if marks and at is not None and not found:
            found = [len(ids) + _tokens_before(encoding, at + mark) for mark in marks]
        ids += encoding.ids
    return Filled(ids, found)


def words_before(plan: Plan, texts: Sequence[str], tokenizer: TextTokenizer, marked: int) -> tuple[int, int] | None:
    """Where the words that the template writes before text number `marked` begin and end, as ids from the prompt's end.

    Nothing of another text is among them. None if the text does not stand in the prompt. No text before it is read.
    """
    after = 0
    for number in range(len(plan.steps) - 1, -1, -1):
        step = plan.steps[number]
        if isinstance(step, tuple):
            after += len(step)
            continue
        text, _ = _text(step, texts, marked)
        encoding = tokenizer.encode_text(text, step.initial)
        after += len(encoding.ids)
        own = _own_before(step, texts, marked)
        if own is None:
            continue
        begin, end = (after - _tokens_before(encoding, character) for character in own)
        before = plan.steps[number - 1] if number else ()
        if own[0] == 0 and isinstance(before, tuple):
            begin += len(before)
        return begin, end
    return None


def _own_before(run: Run, texts: Sequence[str], marked: int) -> tuple[int, int] | None:
    """Where the template's own words right before text `marked` begin and end, in characters of the run; 0 as their
    beginning if the run begins with them."""
    text, begin = "", 0
    for piece in run.pieces:
        if isinstance(piece, str):
            text += piece
        elif isinstance(piece, Slot) and piece.source == marked:
            stripped = len(text) - len(text.lstrip(UNICODE_WHITE_SPACE)) if run.strip_left else 0
            return max(begin - stripped, 0), len(text) - stripped
        else:
            text += piece.text if isinstance(piece, Stray) else piece.fill(texts[piece.source])
            begin = len(text)
    return None


def _text(run: Run, texts: Sequence[str], marked: int) -> tuple[str, int | None]:
    """The run's text, and where text number `marked` would begin in it if nothing of it were left out."""
    text, at = "", None
    for piece in run.pieces:
        if isinstance(piece, str | Stray):
            text += piece if isinstance(piece, str) else piece.text
            continue
        if piece.source == marked and at is None:
            at = len(text) - piece.start
        text += piece.fill(texts[piece.source])
    stripped = run.strip(text)
    return stripped, None if at is None else at - text.find(stripped)


def _tokens_before(encoding: Encoding, character: int) -> int:
    """How many tokens begin before a character: one that reaches over it counts to what is before it."""
    for at in range(character - 1, max(character - 1 - _MOST_DROPPED, -1), -1):
        if (token := encoding.char_to_token(at)) is not None:
            return int(token) + 1
    return 0
