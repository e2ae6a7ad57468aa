"""The base's weights with an adapter's merged in, tensor by tensor.

LoRA (Hu et al., 2021): W + s B A. DoRA (Liu et al., 2024): the same, with each output's row then scaled to the learned
length. Everything is computed in float32 and rounded once, to the dtype that the base's tensor has.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from trivet.adapters.preflight import peft_config, weights
from trivet.adapters.preflight.base_model import BaseModel
from trivet.adapters.preflight.safetensors_header import TensorEntry, read_header
from trivet.errors import AdapterRejected

MAX_RANK = 1 << 16  # merging knows no slots: the shapes bound the rank
BLOCK_BYTES = 1 << 20
Matrix = np.ndarray[Any, np.dtype[np.float32]]


class MergedWeights:
    """`adapter`: a folder that passed the preflight against `base`, with `dora` allowed."""

    def __init__(self, base: BaseModel, adapter: Path) -> None:
        """Raises AdapterRejected if the base's weights are in a dtype that cannot be added to."""
        self._config = peft_config.read_peft_config(adapter / peft_config.FILE, MAX_RANK, dora=True)
        self._path = adapter / weights.FILE
        self._entries = read_header(self._path)
        self._transposed = base.stores_transposed
        self._shards = {path: read_header(path) for path in base.weight_files if path.suffix == ".safetensors"}
        self.modules = {weights.module_of(name) for name in self._entries}
        for entries in self._shards.values():
            for name, entry in entries.items():
                if self._module(name) and entry.dtype not in weights.EXPONENTS:
                    known = ", ".join(weights.EXPONENTS)
                    raise AdapterRejected(f"base tensor {name}: has dtype {entry.dtype}, expected {known} to add to")

    @property
    def tensors(self) -> int:
        """How many tensors the base has, merged into or not."""
        return sum(map(len, self._shards.values()))

    @property
    def method(self) -> str:
        """lora, rslora or dora."""
        return "dora" if self._config.dora else "rslora" if self._config.rslora else "lora"

    def write(self, folder: Path, on_tensor: Callable[[], object]) -> None:
        """Write the base's shards into `folder`: the same names, layout and dtypes; blocks.

        At most one matrix is in memory, some four times over in float32. Raises AdapterRejected if a merged value does
        not fit the base's dtype.
        """
        for path, entries in self._shards.items():
            with path.open("rb") as old, (folder / path.name).open("xb") as new:
                _copy(old, new, min((entry.start for entry in entries.values()), default=path.stat().st_size))
                for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].end)):
                    module = self._module(name)
                    if module is None:
                        _copy(old, new, entry.end - entry.start)
                    else:
                        merged = self._merged(module, _widen(old.read(entry.end - entry.start), entry))
                        new.write(_narrow(merged, name, entry.dtype))
                    on_tensor()
                new.flush()
                os.fsync(new.fileno())

    def _module(self, name: str) -> str | None:
        """The module that a tensor of the base is the weight of, if the adapter changes it."""
        module = name.removesuffix(".weight")
        return module if module != name and module in self.modules else None

    def _merged(self, module: str, weight: Matrix) -> Matrix:
        low, high = (self._part(module, part) for part in weights.PAIR)
        if self._transposed:
            weight = weight.T
        merged = weight + (high @ low) * np.float32(self._config.scale_of(module))
        if self._config.dora:
            lengths = np.linalg.norm(merged, axis=1)
            with np.errstate(divide="ignore", invalid="ignore"):  # what comes of it is refused as not finite
                merged *= (self._part(module, weights.MAGNITUDE) / lengths)[:, None]
        return np.ascontiguousarray(merged.T if self._transposed else merged, np.float32)

    def _part(self, module: str, part: str) -> Matrix:
        entry = self._entries[f"{weights.PREFIX}{module}.{part}"]
        with self._path.open("rb") as file:
            file.seek(entry.start)
            return _widen(file.read(entry.end - entry.start), entry)


def _widen(data: bytes, entry: TensorEntry) -> Matrix:
    """The tensor in float32, which holds all of the dtypes exactly."""
    if entry.dtype == "BF16":
        values = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        values = np.frombuffer(data, {"F32": "<f4", "F16": "<f2"}[entry.dtype]).astype(np.float32)
    return values.reshape(entry.shape)


def _narrow(values: Matrix, name: str, dtype: str) -> bytes:
    """The bytes in the base's dtype, rounded to the nearest, ties to even."""
    if dtype == "BF16":
        bits = values.ravel().view(np.uint32)
        rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")
    else:
        with np.errstate(over="ignore"):  # refused below
            rounded = values.ravel().astype({"F32": "<f4", "F16": "<f2"}[dtype])
    word, exponent = weights.EXPONENTS[dtype]
    bad = np.flatnonzero(((rounded.view(word) & exponent) == exponent) | ~np.isfinite(values.ravel()))
    if bad.size:
        at = int(bad[0])
        value = values.flat[at]
        raise AdapterRejected(f"base tensor {name}: merged, element {at} is {value}, expected a number of {dtype}")
    return rounded.tobytes()


def _copy(old: BinaryIO, new: BinaryIO, count: int) -> None:
    while count:
        block = old.read(min(BLOCK_BYTES, count))
        if not block:
            raise OSError(f"{old.name} became shorter while it was read")
        new.write(block)
        count -= len(block)
