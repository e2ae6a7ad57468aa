"""What a model writes: the form that its parser reads, long in each way that it can be, and marks that lead nowhere."""

from __future__ import annotations

from benchmarks.parsers.forms import Form, thoughts_of

WORDS = "The lamp on the north shore burns for 12 hours, and the hub has a range of 60 metres. "


def call_texts(form: Form, length: int) -> dict[str, str]:
    """Answers of about `length` characters to a parser of calls, by what is long in them."""
    one = f"{form.before}lamp{form.after}"
    found = {
        "text": _fill(WORDS, length),
        "one long argument": form.before + _fill(WORDS, length) + form.after,
        "many arguments": form.before + _numbered(form.between, length) + form.after,
        "many calls": _fill(one + "\n", length),
        "a call that never ends": form.before + _fill(WORDS, length),
        "brackets in an argument": form.before + _fill('{[("', length),
        "backslashes in an argument": form.before + _fill("\\", length),
        "line ends": _fill("\n", length),
        "angle brackets": _fill("<", length),
        "calls that only begin": _fill(form.before + "lamp ", length),
    }
    for mark in form.marks:
        found[f"`{mark}` again and again"] = _fill(mark, length)
    return found


def thought_texts(name: str, length: int) -> dict[str, str]:
    """The same for a parser of thoughts."""
    opening, end = thoughts_of(name)
    found = {
        "text": _fill(WORDS, length),
        "long thoughts": opening + _fill(WORDS, length) + end + "Nine.",
        "thoughts that never end": opening + _fill(WORDS, length),
        "a long answer after thoughts": opening + "A lamp." + end + _fill(WORDS, length),
        "thoughts again and again": _fill(opening + "A lamp." + end + "Nine. ", length),
        "line ends": opening + _fill("\n", length),
        "angle brackets": opening + _fill("<", length),
    }
    for mark in Form(opening, end).marks:
        found[f"`{mark}` again and again"] = _fill(mark, length)
    return found


def _fill(piece: str, length: int) -> str:
    """Whole pieces of it."""
    return piece * max(1, length // len(piece))


def _numbered(between: str, length: int) -> str:
    pieces, so_far = ["lamp"], 0
    while so_far < length:
        piece = between.replace("{}", str(len(pieces))) + "lamp"
        pieces.append(piece)
        so_far += len(piece)
    return "".join(pieces)
