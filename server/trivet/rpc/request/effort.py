"""How many fields a message has, counted on its bytes: reading makes an object of each, some hundred times its size."""

from __future__ import annotations

from google.protobuf.descriptor import Descriptor

MOST_FIELDS = 40_000  # a schema of 65,536 bytes has fewer
_DEEPEST = 100  # as deep as the parser reads
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def crowded_field(data: bytes, descriptor: Descriptor) -> str | None:
    """Where there are more than `MOST_FIELDS` in a message of this type and those in it, such as "retrieval.filter".

    Bytes that are no message are for the parser to refuse.

    Ends with the first field too many, and looks at no text: the work is bounded whatever the bytes are.
    Source: https://protobuf.dev/programming-guides/encoding/
    """
    counted, waiting = 0, [(descriptor, 0, len(data), 0, "")]
    while waiting:
        kind, place, end, depth, within = waiting.pop()
        while place < end:
            tag, place = _varint(data, place, end)
            counted += 1
            wire, field = tag & 7, kind.fields_by_number.get(tag >> 3)
            if counted > MOST_FIELDS:
                return within + (field.name if field is not None else str(tag >> 3))
            if wire == _VARINT:
                _, place = _varint(data, place, end)
            elif wire == _BYTES:
                length, place = _varint(data, place, end)
                inner = field.message_type if field is not None and depth < _DEEPEST else None
                if field is not None and inner is not None:
                    waiting.append((inner, place, min(place + length, end), depth + 1, f"{within}{field.name}."))
                place += length
            elif wire in (_FIXED64, _FIXED32):
                place += 8 if wire == _FIXED64 else 4
            else:
                break
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
