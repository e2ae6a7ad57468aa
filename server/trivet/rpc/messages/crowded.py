"""Large messages with too many values, found in their bytes before objects are made of these."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from trivet.rpc.messages.bounds import BOUNDS, DEEPEST, OPAQUE, PACKAGE

MOST_VALUES = 20_000  # of a message and those in it; the largest one within the bounds has 18,453
_STRAY = 100  # values of fields that nobody knows, usually none
_VARINT, _FIXED64, _BYTES, _GROUP, _GROUP_END, _FIXED32, _NOTHING = range(7)
_LONGEST_VARINT = 10  # bytes
_LONGEST_TAG = 5  # bytes, also of a length: the parser takes no longer one
_ENDLESS = bytes(range(0x80, 0x100))  # bytes that do not end a number
_ACKNOWLEDGED = f"{PACKAGE}.Document"  # what is wrong with one has an answer of its own, and the next is read
_LONG_LISTS = {"trivet.engine.v1.Start.token_ids"}  # numbers that may be as many as they like
_NEVER_PACKED = (FieldDescriptor.CPPTYPE_STRING, FieldDescriptor.CPPTYPE_MESSAGE)
_WIDTHS = {
    **dict.fromkeys((FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FIXED64, FieldDescriptor.TYPE_SFIXED64), 8),
    **dict.fromkeys((FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_FIXED32, FieldDescriptor.TYPE_SFIXED32), 4),
}


class Crowded(NamedTuple):
    """A field, such as "retrieval.filter", that holds more than it may. `told`: what is said of it."""

    field: str
    told: str


class _Field(NamedTuple):
    """How many `values` a field may have; how many `bytes` one of them, if it is not to be looked into; the type of
    `message` that is to be; how wide (0: as wide as each needs) numbers are that may come as a list in one value."""

    number: int
    name: str
    values: int
    bytes: int | None = None
    message: Descriptor | None = None
    width: int | None = None


class _Within(NamedTuple):
    """The path to a message in others."""

    outer: _Within | None
    name: str


_UNKNOWN = _Field(0, "", _STRAY)  # those that nobody knows count together
_CROWDED = f"the message has more than {MOST_VALUES:,} values"


@cache
def _fields(descriptor: Descriptor) -> Mapping[int, _Field]:
    """Of a message, by number."""
    return {field.number: _field_of(descriptor.full_name, field) for field in descriptor.fields}


def _field_of(owner: str, field: FieldDescriptor) -> _Field:
    bound = BOUNDS.get(f"{owner.removeprefix(f'{PACKAGE}.')}.{field.name}")
    items = MOST_VALUES if bound is None or bound.items is None else bound.items  # KServe's fields have no bounds
    values = items if field.is_repeated else 1  # as each library writes it
    message, width, size = field.message_type, None, None
    if field.is_repeated and field.cpp_type not in _NEVER_PACKED and field.full_name not in _LONG_LISTS:
        width = _WIDTHS.get(field.type, 0)
    if owner == _ACKNOWLEDGED:
        values = MOST_VALUES
    elif message is not None and message.full_name in OPAQUE and bound is not None:
        message, size = None, bound.size
    return _Field(field.number, field.name, values, size, message, width)


def crowded_field(data: bytes, descriptor: Descriptor) -> Crowded | None:
    """The field of which a message of this type, or one in it, holds more than its bound; None if there is none.

    Bytes that are no message are for the parser to refuse.

    Ends with the first value too many, of a field or of all of them together, and looks at no text and into no
    free-form structure: the work is bounded whatever the bytes are, by what the largest legal message takes.
    Source: https://protobuf.dev/programming-guides/encoding/
    """
    counted = 0
    waiting: list[tuple[Descriptor, int, int, int, _Within | None]] = [(descriptor, 0, len(data), 0, None)]
    while waiting:
        kind, place, end, depth, within = waiting.pop()
        fields, counts = _fields(kind), dict[int, int]()
        while place < end:
            tag, place = _varint(data, place, end, _LONGEST_TAG)
            wire, field = tag & 7, fields.get(tag >> 3, _UNKNOWN)
            more = 1
            if wire == _BYTES:
                length, place = _varint(data, place, end, _LONGEST_TAG)
                if field.bytes is not None and length > field.bytes:
                    return _told(within, field, tag, f"expected at most {field.bytes:,} bytes, got {length:,}")
                if field.message is not None and length and depth < DEEPEST:
                    inside = _Within(within, field.name)
                    waiting.append((field.message, place, min(place + length, end), depth + 1, inside))
                elif field.width is not None:
                    more = _numbers(data, place, min(place + length, end), field.width)
                place += length
            elif wire == _VARINT:
                _, place = _varint(data, place, end, _LONGEST_VARINT)
            elif wire in (_FIXED64, _FIXED32):
                place += 8 if wire == _FIXED64 else 4
            elif wire in (_GROUP, _GROUP_END):  # the parser would read what is in one, and nobody writes any
                return _told(within, field, tag, "expected no group")
            else:
                break  # no message
            counted += more
            counts[field.number] = counts.get(field.number, 0) + more
            if counts[field.number] > field.values:
                return _told(within, field, tag, f"expected at most {field.values:,}, got more")
            if counted > MOST_VALUES:
                return _told(within, field, tag, _CROWDED)
    return None


def _told(within: _Within | None, field: _Field, tag: int, told: str) -> Crowded:
    names = [field.name or str(tag >> 3)]
    while within is not None:
        names.append(within.name)
        within = within.outer
    return Crowded(".".join(reversed(names)), told)


def _varint(data: bytes, place: int, end: int, longest: int) -> tuple[int, int]:
    """The number there, of so many bytes at most, and what comes after it. A longer one ends the message."""
    byte = data[place] if place < end else 0
    if byte < 0x80:
        return byte, place + 1
    value, shift = byte & 0x7F, 7
    for byte in data[place + 1 : min(place + longest, end)]:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, place + shift // 7
    return _NOTHING, end


def _numbers(data: bytes, place: int, end: int, width: int) -> int:
    """How many there are in a list, or more than may be in any."""
    if width:
        return (end - place) // width
    if end - place > MOST_VALUES * _LONGEST_VARINT:
        return MOST_VALUES + 1
    return len(data[place:end].translate(None, _ENDLESS))
