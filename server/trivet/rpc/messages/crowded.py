"""Large messages with too many values, found in their bytes before objects are made of these."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from google.protobuf.descriptor import Descriptor

from trivet.rpc.messages.bounds import BOUNDS, OPAQUE, PACKAGE

MOST_VALUES = 20_000  # of a message and those in it; the largest one within the bounds has 18,453
_STRAY = 100  # values of fields that nobody knows, usually none
_DEEPEST = 100  # as deep as the parser reads
_VARINT, _FIXED64, _BYTES, _GROUP, _GROUP_END, _FIXED32 = range(6)
_ACKNOWLEDGED = f"{PACKAGE}.Document"  # what is wrong with one has an answer of its own, and the next is read


class Crowded(NamedTuple):
    """A field, such as "retrieval.filter", that holds more than it may. `told`: what is said of it."""

    field: str
    told: str


class _Most(NamedTuple):
    """How many `values` a field may have, and how many `bytes` one of them, if it is not to be looked into."""

    values: int
    bytes: int | None


_UNKNOWN = _Most(_STRAY, None)
_CROWDED = f"the message has more than {MOST_VALUES:,} values"


@cache
def _most(descriptor: Descriptor) -> Mapping[int, _Most]:
    """Of each field of a message, by number."""
    if descriptor.full_name == _ACKNOWLEDGED:
        return dict.fromkeys(descriptor.fields_by_number, _Most(MOST_VALUES, None))
    owner, most = descriptor.full_name.removeprefix(f"{PACKAGE}."), {}
    for field in descriptor.fields:
        bound = BOUNDS.get(f"{owner}.{field.name}")
        opaque = field.message_type is not None and field.message_type.full_name in OPAQUE
        items = MOST_VALUES if bound is None or bound.items is None else bound.items  # KServe's fields have no bounds
        values = items if field.is_repeated else 1  # as each library writes it
        most[field.number] = _Most(values, bound.size if opaque and bound is not None else None)
    return most


def crowded_field(data: bytes, descriptor: Descriptor) -> Crowded | None:
    """The field of which a message of this type, or one in it, holds more than its bound; None if there is none.

    Bytes that are no message are for the parser to refuse.

    Ends with the first value too many, of a field or of all of them together, and looks at no text and into no
    free-form structure: the work is bounded whatever the bytes are, by what the largest legal message takes.
    Source: https://protobuf.dev/programming-guides/encoding/
    """
    counted, waiting = 0, [(descriptor, 0, len(data), 0, "")]
    while waiting:
        kind, place, end, depth, within = waiting.pop()
        counts: Counter[int] = Counter()
        most = _most(kind)
        while place < end:
            tag, place = _varint(data, place, end)
            wire, number = tag & 7, tag >> 3
            field = kind.fields_by_number.get(number)
            values, size = most.get(number, _UNKNOWN)
            known = 0 if field is None else number  # those that nobody knows count together
            counts[known] += 1
            counted += 1
            if counts[known] > values or counted > MOST_VALUES:
                name = str(number) if field is None else field.name
                told = f"expected at most {values:,}, got more"
                return Crowded(within + name, told if counts[known] > values else _CROWDED)
            if wire == _VARINT:
                _, place = _varint(data, place, end)
            elif wire == _BYTES:
                length, place = _varint(data, place, end)
                if field is not None and size is not None:
                    if length > size:
                        return Crowded(within + field.name, f"expected at most {size:,} bytes, got {length:,}")
                elif field is not None and field.message_type is not None and depth < _DEEPEST:
                    inner = f"{within}{field.name}."
                    waiting.append((field.message_type, place, min(place + length, end), depth + 1, inner))
                place += length
            elif wire in (_FIXED64, _FIXED32):
                place += 8 if wire == _FIXED64 else 4
            elif wire in (_GROUP, _GROUP_END):  # the parser would read what is in one, and nobody writes any
                return Crowded(within + (str(number) if field is None else field.name), "expected no group")
            else:
                break  # no message
    return None


def _varint(data: bytes, place: int, end: int) -> tuple[int, int]:
    """The number there, and what comes after it."""
    value = shift = 0
    while place < end and shift < 64:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
    return value, place
