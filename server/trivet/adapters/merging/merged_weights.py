"""The base's weights with an adapter's merged in, tensor by tensor.

LoRA (Hu et al., 2021): W + s B A. DoRA (Liu et al., 2024): the same, with each output's row then scaled to the learned
length. A module that was trained whole stands in the base's place first. Everything is computed in float32 and rounded
once, to the dtype that the base's tensor has.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from trivet.adapters.merging.vocabulary import Vocabulary
from trivet.adapters.preflight import peft_config, weights
from trivet.adapters.preflight.base_model import HEAD, BaseModel
from trivet.adapters.tensors.safetensors_header import TensorEntry, read_header, write_header
from trivet.adapters.tensors.tensor_data import Matrix, read_matrix
from trivet.adapters.tensors.tensor_name import MAGNITUDE, TensorName
from trivet.errors import AdapterRejected

MAX_RANK = 1 << 16  # merging knows no slots: the shapes bound the rank
HEAD_WEIGHT = f"{HEAD}.weight"


class MergedWeights:
    """`adapter`: a folder that passed the preflight against `base`, to be merged."""

    def __init__(self, base: BaseModel, adapter: Path) -> None:
        """Raises AdapterRejected if the base's weights are in a dtype that cannot be added to."""
        self._base = base
        self._config = peft_config.read_peft_config(adapter / peft_config.FILE, MAX_RANK, to_merge=True)
        self._path = adapter / weights.FILE
        self._entries = {_parsed(name): entry for name, entry in read_header(self._path).items()}
        self.modules = {name.module for name in self._entries}
        self._low_rank = {name.module for name in self._entries if not name.whole}
        self._whole = {f"{name.module}.{name.part}": entry for name, entry in self._entries.items() if name.whole}
        self.vocabulary = Vocabulary.of(base, self._config, self._path, self._whole, self._low_rank)
        for name, entry in base.tensors.items():
            if self._changes(name) and entry.dtype not in weights.EXPONENTS:
                known = ", ".join(weights.EXPONENTS)
                raise AdapterRejected(f"base tensor {name}: has dtype {entry.dtype}, expected {known} to add to")

    @property
    def tensors(self) -> int:
        """How many tensors there are to write, merged into or not."""
        return len(self._base.tensors) + self.vocabulary.untied

    @property
    def method(self) -> str:
        """lora, rslora or dora; whole if no module has LoRA's matrices."""
        if not self._low_rank:
            return "whole"
        return "dora" if self._config.dora else "rslora" if self._config.rslora else "lora"

    def write(self, folder: Path, on_tensor: Callable[[], object]) -> None:
        """Write the base's shards into `folder`: the same names and dtypes, and its index if there is one; blocks.

        At most one matrix is in memory, some four times over in float32. Raises AdapterRejected if a merged value does
        not fit the base's dtype.
        """
        for path, entries in self._base.shards.items():
            layout = self._layout(entries)
            with path.open("rb") as old, (folder / path.name).open("xb") as new:
                if {name: entry.shape for name, entry in entries.items()} == {name: shape for name, _, shape in layout}:
                    data = min((entry.start for entry in entries.values()), default=path.stat().st_size)
                    new.write(old.read(data))  # its header as it is
                else:
                    write_header(new, layout)
                for name, dtype, _ in layout:
                    self._write_tensor(name, dtype, entries.get(name), old, new)
                    on_tensor()
                new.flush()
                os.fsync(new.fileno())
            if self._home_of_head(entries):
                self._amend_index(folder, path.name)

    def _layout(self, entries: Mapping[str, TensorEntry]) -> list[tuple[str, str, tuple[int, ...]]]:
        """Name, dtype and shape of a shard's tensors, in the order of their bytes."""
        ordered = sorted(entries.items(), key=lambda item: (item[1].start, item[1].end))
        layout = [(name, entry.dtype, self._shape(name, entry.shape)) for name, entry in ordered]
        if self._home_of_head(entries):
            embedding = entries[f"{self._base.embedding}.weight"]
            layout.append((HEAD_WEIGHT, embedding.dtype, self._shape(HEAD_WEIGHT, embedding.shape)))
        return layout

    def _home_of_head(self, entries: Mapping[str, TensorEntry]) -> bool:
        """Whether a shard gets the output head that the base, tied, has not."""
        return self.vocabulary.untied and f"{self._base.embedding}.weight" in entries

    def _shape(self, name: str, of_base: tuple[int, ...]) -> tuple[int, ...]:
        source, from_adapter = self.vocabulary.start_of(name, self._whole)
        return self._whole[source].shape if from_adapter else of_base

    def _changes(self, name: str) -> bool:
        return name in self._whole or name.removesuffix(".weight") in self._low_rank

    def _write_tensor(self, name: str, dtype: str, entry: TensorEntry | None, old: BinaryIO, new: BinaryIO) -> None:
        """`entry`: the base's of that name; None for an output head that was tied to the embedding."""
        if entry is not None and not self._changes(name):
            entry.copy(old, new, old.name)
            return
        values = self._start(name)
        module = name.removesuffix(".weight")
        if module in self._low_rank and name.endswith(".weight"):
            values = self._merged(module, values)
        new.write(_narrow(values, name, dtype))

    def _start(self, name: str) -> Matrix:
        """What is added to: the adapter's whole tensor, or the base's."""
        source, from_adapter = self.vocabulary.start_of(name, self._whole)
        if from_adapter:
            return read_matrix(self._path, self._whole[source])
        shard = next(path for path, entries in self._base.shards.items() if source in entries)
        return read_matrix(shard, self._base.tensors[source])

    def _merged(self, module: str, weight: Matrix) -> Matrix:
        flipped = weights.transposed(module, self._base)
        names = weights.parts_of(module, self._config, self._base)
        low, high = (self._part(module, part) for part in names[:2])
        if flipped:
            weight = weight.T
        merged = weight + (high @ low) * np.float32(self._config.scale_of(module))
        if MAGNITUDE in names:
            lengths = np.linalg.norm(merged, axis=1)
            with np.errstate(divide="ignore", invalid="ignore"):  # what comes of it is refused as not finite
                merged *= (self._part(module, MAGNITUDE) / lengths)[:, None]
        return np.ascontiguousarray(merged.T if flipped else merged, np.float32)

    def _part(self, module: str, part: str) -> Matrix:
        return read_matrix(self._path, self._entries[TensorName(module, part)])

    def _amend_index(self, folder: Path, shard: str) -> None:
        """Name the new output head in the index of sharded weights."""
        path = folder / "model.safetensors.index.json"
        if path.exists():
            index = json.loads(path.read_text())
            index["weight_map"][HEAD_WEIGHT] = shard
            path.write_text(json.dumps(index, indent=2) + "\n")


def _parsed(name: str) -> TensorName:
    tensor = TensorName.parse(name)
    assert tensor is not None  # it passed the preflight
    return tensor


def _narrow(values: np.ndarray[Any, np.dtype[np.float32]], name: str, dtype: str) -> bytes:
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
