"""What a child process and its parent say to each other: frames over pipes.

A frame is a kind (one byte), a length (unsigned 32-bit, little endian) and so many bytes:

    ready     process to parent, once: it takes work
    text      parent to process: a text to embed, UTF-8
    vector    process to parent: float32, little endian
    document  parent to process: a document to split (`trivet.retrieval.passages.process.messages`)
    chunks    process to parent: some of its passages, in order
    done      process to parent: that was all of them
    refused   process to parent: why the document cannot be indexed, UTF-8
    failed    process to parent: why there is no answer, UTF-8

Answers come in the order of what was asked. The end of the input is the end of the process.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from enum import IntEnum

_HEADER = struct.Struct("<BI")
_MOST_BYTES = 2**30  # a header that says more is none: something else wrote into the pipe


class Frame(IntEnum):
    """Kinds of frames."""

    READY = 0x52
    TEXT = 0x54
    VECTOR = 0x56
    DOCUMENT = 0x44
    CHUNKS = 0x43
    DONE = 0x45
    REFUSED = 0x4E
    FAILED = 0x46


class BrokenFrame(Exception):
    """The other side has gone, or what it writes is no frame."""


def encode_frame(kind: Frame, body: bytes = b"") -> bytes:
    """A frame's bytes."""
    return _HEADER.pack(kind, len(body)) + body


def read_frame(read: Callable[[int], bytes]) -> tuple[Frame, bytes]:
    """The next frame; `read(n)` blocks and gives 1 to n bytes, none at the end. Raises BrokenFrame."""
    kind, length = _HEADER.unpack(_read(read, _HEADER.size))
    if kind not in list(Frame) or length > _MOST_BYTES:
        raise BrokenFrame(f"no frame: kind {kind}, length {length}")
    return Frame(kind), _read(read, length)


def _read(read: Callable[[int], bytes], length: int) -> bytes:
    parts: list[bytes] = []
    while length:
        part = read(length)
        if not part:
            raise BrokenFrame("the other side has gone")
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def write_frame(descriptor: int, kind: Frame, body: bytes = b"") -> None:
    """Write one to a blocking descriptor."""
    rest = memoryview(encode_frame(kind, body))
    while rest:
        rest = rest[os.write(descriptor, rest) :]
