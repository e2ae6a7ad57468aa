"""Regular expressions in schemas: what the grammar compiler ignores of one, or turns into broken JSON, is refused.

The compiler matches an expression against the whole text. A quote, a backslash or a control character that an
expression names is put into the answer as it is, unescaped, which is no JSON any more; ranges and classes that merely
include one are fine.
"""

from __future__ import annotations

import re

_CLASSES = frozenset("dDwWsS")
_CODE = re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]{1,6})\}")
_NAMED_GROUP = re.compile(r"\(\?P?<[A-Za-z_][A-Za-z0-9_]*>")
_QUANTIFIERS = frozenset("*+?}")


def pattern_problem(pattern: str) -> str | None:
    """What of it cannot be enforced, the first that is met; linear in its length."""
    position, in_class, quantified = 0, False, False
    while position < len(pattern):
        character = pattern[position]
        if character == "\\":
            problem, position = _escape(pattern, position + 1)
            quantified = False
        else:
            problem = _plain(pattern, position, quantified) if not in_class else _in_class(character)
            quantified = not in_class and character in _QUANTIFIERS
            in_class = character != "]" if in_class else character == "["
            position += 1
        if problem is not None:
            return problem
    return None


def _in_class(character: str) -> str | None:
    return _named(character) if _unquotable(ord(character)) else None


def _plain(pattern: str, position: int, quantified: bool) -> str | None:
    character = pattern[position]
    if _unquotable(ord(character)):
        return _named(character)
    if character == "(" and pattern.startswith("(?", position):
        if _NAMED_GROUP.match(pattern, position) or pattern.startswith("(?:", position):
            return None
        return _group(pattern[position : position + 4])
    if character in _END and position != (0 if character == "^" else len(pattern) - 1):
        return f"{character} inside of a pattern is not enforced, expected it at the {_END[character]} alone"
    return "possessive quantifiers are not enforced" if character == "+" and quantified else None


_END = {"^": "beginning", "$": "end"}


def _group(start: str) -> str:
    if start.startswith(("(?=", "(?!")):
        return "look-ahead is not enforced"
    if start.startswith(("(?<=", "(?<!")):
        return "look-behind is not enforced"
    return f"the group {start!r} is not supported"


def _escape(pattern: str, position: int) -> tuple[str | None, int]:
    """Of the escape sequence whose letter is at `position`: what is wrong, and where it ends."""
    if position == len(pattern):
        return "ends in a backslash", position
    letter = pattern[position]
    code = _CODE.match(pattern, position)
    if code is not None:
        value = int(code[1] or code[2] or code[3], 16)
        if value > 0x10FFFF or 0xD800 <= value <= 0xDFFF:
            return f"\\{code[0]} is not a character", position
        return (_named(chr(value)) if _unquotable(value) else None), code.end()
    if letter in _CLASSES or not (letter.isalnum() or _unquotable(ord(letter))):
        return None, position + 1
    if letter == "k" or letter in "123456789":
        return "back-references are not enforced", position
    if letter in 'ntrfv0c"\\':
        return _named(f"\\{letter}"), position
    return f"the escape sequence \\{letter} is not supported", position


def _unquotable(code: int) -> bool:
    return code < 0x20 or code in (0x22, 0x5C, 0x7F)


def _named(character: str) -> str:
    shown = character if character.isprintable() else character.encode("unicode_escape").decode()
    return f"names {shown}, which the engine would write into the JSON unescaped"
