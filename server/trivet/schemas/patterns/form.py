"""Regular expressions (ECMA-262) as the engine gets them.

The grammar compiler leaves what JSON escapes (quotes, backslashes, control characters) out of classes by itself in
short and plain expressions only; in others, those with long repetitions for instance, it lets them into the answer,
which is no JSON any more. So classes are written anew, without them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

Ranges = list[tuple[int, int]]  # of code points, both ends included

_LAST = 0x10FFFF
# What a JSON string may hold as it is, without halves of surrogate pairs.
_PLAIN: Ranges = [(0x20, 0x21), (0x23, 0x5B), (0x5D, 0xD7FF), (0xE000, _LAST)]
_SETS: dict[str, Ranges] = {
    "d": [(0x30, 0x39)],
    "w": [(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)],
    "s": [
        *((0x09, 0x0D), (0x20, 0x20), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A), (0x2028, 0x2029)),
        *((0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF)),
    ],
}


def pattern_form(pattern: str) -> str:
    """An expression in which `pattern_problem` finds nothing, without the characters that JSON escapes."""
    parts, position = [], 0
    while position < len(pattern):
        if pattern[position] == "[":
            tokens, position = _class(pattern, position + 1)
            negated = tokens[:1] == ["^"]
            ranges = _union(_ranges(tokens[negated:]))
            parts.append(_written(_complement(ranges) if negated else ranges))
            continue
        one = _token(pattern, position)
        position += len(one)
        parts.append(_written(_set(one)) if one == "." or one[1:].lower() in _SETS else one)
    return "".join(parts)


def any_character() -> str:
    """The class of all characters that a JSON string may hold as they are."""
    return _written([(0, _LAST)])


def _class(pattern: str, position: int) -> tuple[list[str], int]:
    """The members of the class that begins here, a `^` at its beginning included, and where it ends."""
    tokens: list[str] = []
    while position < len(pattern) and pattern[position] != "]":
        tokens.append(_token(pattern, position))
        position += len(tokens[-1])
    return tokens, position + 1


def _ranges(tokens: list[str]) -> Iterator[tuple[int, int]]:
    position = 0
    while position < len(tokens):
        if position + 2 < len(tokens) and tokens[position + 1] == "-":
            yield _code(tokens[position]), _code(tokens[position + 2])
            position += 3
            continue
        member = tokens[position]
        yield from _set(member) if member[1:].lower() in _SETS else [(_code(member), _code(member))]
        position += 1


def _set(shorthand: str) -> Ranges:
    """What `.`, `\\d`, `\\D` and the like stand for."""
    if shorthand == ".":
        return [(0, _LAST)]
    members = _SETS[shorthand[1].lower()]
    return members if shorthand[1].islower() else _complement(members)


def _union(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """In order, none overlapping another."""
    joined: Ranges = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(joined[-1][1], high)
        else:
            joined.append((low, high))
    return joined


def _complement(ranges: Ranges) -> Ranges:
    starts = [0, *(high + 1 for _, high in ranges)]
    ends = [*(low - 1 for low, _ in ranges), _LAST]
    return [(low, high) for low, high in zip(starts, ends, strict=True) if low <= high]


def _written(ranges: Ranges) -> str:
    """A class of them, without what JSON escapes; an empty one, which the compiler refuses, where nothing is left."""
    plain = [(max(low, first), min(high, last)) for low, high in ranges for first, last in _PLAIN]
    members = (_member(low, high) for low, high in plain if low <= high)
    return f"[{''.join(members)}]"


def _member(low: int, high: int) -> str:
    return _escaped(low) if low == high else f"{_escaped(low)}-{_escaped(high)}"


def _escaped(code: int) -> str:
    return f"\\{chr(code)}" if chr(code) in "]^-[" else chr(code)


def _token(pattern: str, position: int) -> str:
    """A character, or an escape sequence whole."""
    if pattern[position] != "\\":
        return pattern[position]
    letter = pattern[position + 1]
    if letter == "x":
        return pattern[position : position + 4]
    if letter == "u":
        end = pattern.index("}", position) + 1 if pattern[position + 2] == "{" else position + 6
        return pattern[position:end]
    return pattern[position : position + 2]


def _code(token: str) -> int:
    if token[:2] in ("\\x", "\\u"):
        return int(token[2:].strip("{}"), 16)
    return ord(token[-1])
