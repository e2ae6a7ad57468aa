"""The header of a safetensors file, read without trust, and written.

Source: the format's description in huggingface/safetensors: 8 bytes of header length (little endian), the header as
JSON, then the data; each entry has `dtype`, `shape` and `data_offsets` relative to the data.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from trivet.excerpt import quote_masked

DTYPE_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
DTYPE_BYTES |= {"F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "U32": 4, "U64": 8}
LENGTH_BYTES = 8
MAX_HEADER_BYTES = 16 << 20
MAX_DIMENSIONS = 8
BLOCK_BYTES = 1 << 20


class HeaderError(ValueError):
    """The file is not a sound safetensors file: says what was found and what was expected."""


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor: where its bytes are in the file, counted from the file's beginning."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    def copy(self, old: BinaryIO, new: BinaryIO, name: str) -> None:
        """Its bytes from `old`, the file, to where `new` stands, in blocks; OSError if `name` has become shorter."""
        old.seek(self.start)
        left = self.end - self.start
        while left:
            block = old.read(min(BLOCK_BYTES, left))
            if not block:
                raise OSError(f"{name} became shorter while it was read")
            new.write(block)
            left -= len(block)


def read_header(path: Path) -> dict[str, TensorEntry]:
    """The tensors of a file by name; raises HeaderError. Reads the header alone, and only if its length is sane."""
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(LENGTH_BYTES)
        if len(prefix) < LENGTH_BYTES:
            raise HeaderError(f"the file has {size} bytes, expected at least {LENGTH_BYTES}")
        length = int.from_bytes(prefix, "little")
        limit = min(MAX_HEADER_BYTES, size - LENGTH_BYTES)
        if length > limit:
            raise HeaderError(f"the header claims {length} bytes, expected at most {limit}")
        header = _parse(file.read(length))
    data = LENGTH_BYTES + length
    entries = {name: _entry(name, value, data) for name, value in header.items()}
    _check_layout(entries, data, size)
    return entries


def write_header(file: BinaryIO, tensors: Sequence[tuple[str, str, tuple[int, ...]]]) -> None:
    """Write the header for tensors (name, dtype, shape) whose bytes follow in this order, aligned to eight bytes."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, dtype, shape in tensors:
        end = at + math.prod(shape) * DTYPE_BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % LENGTH_BYTES)
    file.write(len(text).to_bytes(LENGTH_BYTES, "little") + text)


def _parse(text: bytes) -> dict[str, Any]:
    """Only what the format's own reader takes: UTF-8, names once, and metadata of texts alone."""
    try:
        header = json.loads(text.decode(), object_pairs_hook=_unique, parse_int=_natural)
        if not isinstance(header, dict):
            raise HeaderError(f"the header is a {type(header).__name__}, expected an object")
        metadata = header.pop("__metadata__", {})
        if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
            raise HeaderError("__metadata__ is not an object of texts")
        for lone_half in (*header, *metadata, *metadata.values()):
            lone_half.encode()
    except HeaderError:
        raise
    except (ValueError, RecursionError) as problem:
        raise HeaderError(f"the header is not sound JSON: {problem}") from problem
    if not text.startswith(b"{"):
        raise HeaderError("the header begins with white space, expected an object")
    return header


def _natural(digits: str) -> int:
    if digits == "-0":
        raise ValueError("-0 where only natural numbers are expected")
    return int(digits)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name appears twice")
    return found


def _entry(name: str, value: Any, data: int) -> TensorEntry:
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise HeaderError(f"tensor {name}: expected dtype, shape and data_offsets")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BYTES:
        raise HeaderError(f"tensor {name}: dtype {quote_masked(dtype)} is not known")
    if not _naturals(shape) or not _naturals(offsets) or len(offsets) != 2:
        raise HeaderError(f"tensor {name}: shape and data_offsets must be short lists of natural numbers")
    start, end = offsets
    expected = math.prod(shape) * DTYPE_BYTES[dtype]
    if end - start != expected:
        raise HeaderError(f"tensor {name}: has {end - start} bytes, expected {expected} for {dtype} {list(shape)}")
    return TensorEntry(dtype, tuple(shape), data + start, data + end)


def _naturals(values: Any) -> bool:
    if not isinstance(values, list) or len(values) > MAX_DIMENSIONS:
        return False
    return all(type(value) is int and 0 <= value < 1 << 48 for value in values)


def _check_layout(entries: Mapping[str, TensorEntry], data: int, size: int) -> None:
    """The tensors fill the data without gap or overlap."""
    at = data
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].end)):
        if entry.start != at:
            raise HeaderError(f"tensor {name}: begins at byte {entry.start}, expected {at} (a gap or an overlap)")
        at = entry.end
    if at != size:
        raise HeaderError(f"the file has {size} bytes, expected {at} by its header")
