"""The numbers of tensors in safetensors files, in float32, which holds all of the dtypes that are read exactly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from trivet.adapters.tensors.safetensors_header import DTYPE_BYTES, TensorEntry

BLOCK_VALUES = 1 << 20
Matrix = np.ndarray[Any, np.dtype[np.float32]]


def widened(data: bytes, dtype: str) -> Matrix:
    """The values of F32, F16 or BF16 bytes, in one row."""
    if dtype == "BF16":
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data, {"F32": "<f4", "F16": "<f2"}[dtype]).astype(np.float32)


def read_matrix(path: Path, entry: TensorEntry) -> Matrix:
    """A whole tensor in its shape."""
    with path.open("rb") as file:
        file.seek(entry.start)
        return widened(file.read(entry.end - entry.start), entry.dtype).reshape(entry.shape)


def equal(left: tuple[Path, TensorEntry], right: tuple[Path, TensorEntry]) -> bool:
    """Whether two tensors have the same shape and numbers, in whichever dtypes; read in blocks."""
    if left[1].shape != right[1].shape or any(entry.dtype not in ("F32", "F16", "BF16") for _, entry in (left, right)):
        return False
    return all(np.array_equal(one, other) for one, other in zip(_blocks(*left), _blocks(*right), strict=True))


def _blocks(path: Path, entry: TensorEntry) -> Iterator[Matrix]:
    left = entry.end - entry.start
    step = BLOCK_VALUES * DTYPE_BYTES[entry.dtype]
    with path.open("rb") as file:
        file.seek(entry.start)
        while left > 0:
            data = file.read(min(step, left))
            yield widened(data, entry.dtype)
            left -= step
