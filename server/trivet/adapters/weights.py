"""An adapter's tensors against the base model: names, pairs, shapes, ranks, finiteness.

The engine loads most of the misfits found here without a word and then answers wrongly.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trivet.adapters.base_model import BaseModel
from trivet.adapters.peft_config import PeftConfig
from trivet.adapters.safetensors_header import HeaderError, TensorEntry, read_header
from trivet.errors import AdapterRejected

FILE = "adapter_model.safetensors"
PREFIX = "base_model.model."
# The bits of an exponent: all set, it is an infinity or not a number.
EXPONENTS: Mapping[str, tuple[Any, int]] = {
    "F32": (np.uint32, 0x7F800000),
    "F16": (np.uint16, 0x7C00),
    "BF16": (np.uint16, 0x7F80),
}
BLOCK = 1 << 22
PAIR = ("lora_A.weight", "lora_B.weight")
MAGNITUDE = "lora_magnitude_vector"  # DoRA's: the length of each row of the merged weight
_TENSOR = re.compile(rf"{re.escape(PREFIX)}(?P<module>.+)\.(?P<part>{'|'.join(map(re.escape, (*PAIR, MAGNITUDE)))})")


def module_of(tensor: str) -> str:
    """The base's module that a tensor of a checked adapter belongs to."""
    match = _TENSOR.fullmatch(tensor)
    assert match is not None
    return match["module"]


def check_weights(path: Path, config: PeftConfig, base: BaseModel) -> None:
    """Raises AdapterRejected with the tensor, what was found and what was expected."""
    try:
        entries = read_header(path)
    except HeaderError as problem:
        raise AdapterRejected(f"{FILE}: {problem}") from problem
    found: dict[str, dict[str, str]] = {}
    for name in entries:
        module, part = _place(name, config, base)
        found.setdefault(module, {})[part] = name
    _check_complete(found, config, base)
    for module, parts in found.items():
        _check_shapes(module, parts, entries, config, base)
    for name, entry in entries.items():
        _check_finite(path, name, entry)


def _place(name: str, config: PeftConfig, base: BaseModel) -> tuple[str, str]:
    """The module and the part (A, B, or DoRA's magnitudes) that a tensor is for."""
    match = _TENSOR.fullmatch(name)
    if match is None or match["part"] not in parts_of(config):
        raise AdapterRejected(f"tensor {name}: expected {PREFIX}<module>.lora_A.weight or .lora_B.weight")
    module = match["module"]
    layer = base.beyond(module)
    if layer is not None:
        raise AdapterRejected(f"tensor {name}: layer {layer} is beyond the base model's {base.layers} layers")
    if module not in base.modules:
        known = ", ".join(base.module_names)
        raise AdapterRejected(f"tensor {name}: the base model has no module {module} for it (its layers have {known})")
    if not config.targeted(module):
        raise AdapterRejected(f"tensor {name}: target_modules does not name {module}")
    return module, match["part"]


def parts_of(config: PeftConfig) -> tuple[str, ...]:
    """The endings of the tensors that each adapted module has."""
    return (*PAIR, MAGNITUDE) if config.dora else PAIR


def _check_complete(found: Mapping[str, Mapping[str, str]], config: PeftConfig, base: BaseModel) -> None:
    if not found:
        raise AdapterRejected(f"{FILE}: has no tensor")
    for target in config.targets or ():
        modules = [module for module in base.modules if module == target or module.endswith(f".{target}")]
        if not modules:
            known = ", ".join(base.module_names)
            raise AdapterRejected(f"adapter_config.json: target_modules names {target!r}, expected some of {known}")
        missing = [module for module in modules if module not in found] if config.whole_model else []
        if missing:
            tensor = f"{PREFIX}{missing[0]}.lora_A.weight"
            raise AdapterRejected(f"tensor {tensor}: is missing, but target_modules names {target!r}")
    for module, parts in found.items():
        for part in parts_of(config):
            if part not in parts:
                rest = "its A and B are" if part == MAGNITUDE else "its other half is"
                raise AdapterRejected(f"tensor {PREFIX}{module}.{part}: is missing, {rest} there")


def _check_shapes(
    module: str,
    parts: Mapping[str, str],
    entries: Mapping[str, TensorEntry],
    config: PeftConfig,
    base: BaseModel,
) -> None:
    rows, columns = reversed(base.modules[module]) if config.transposed else base.modules[module]
    rank = config.rank_of(module)
    for part, expected in zip((*PAIR, MAGNITUDE), ((rank, columns), (rows, rank), (rows,)), strict=True):
        if part not in parts:
            continue
        name, shape = parts[part], entries[parts[part]].shape
        if shape != expected:
            raise AdapterRejected(
                f"tensor {name}: has shape {list(shape)}, expected {list(expected)} "
                f"(rank {rank} by adapter_config.json, base weight {list(base.modules[module])})"
            )


def _check_finite(path: Path, name: str, entry: TensorEntry) -> None:
    if entry.dtype not in EXPONENTS:
        raise AdapterRejected(f"tensor {name}: has dtype {entry.dtype}, expected {', '.join(EXPONENTS)}")
    word, exponent = EXPONENTS[entry.dtype]
    count = (entry.end - entry.start) // np.dtype(word).itemsize
    with path.open("rb") as file:
        file.seek(entry.start)
        for at in range(0, count, BLOCK):
            bits = np.fromfile(file, dtype=word, count=min(BLOCK, count - at))
            bad = np.flatnonzero((bits & exponent) == exponent)
            if bad.size:
                raise AdapterRejected(f"tensor {name}: element {at + int(bad[0])} is NaN or infinite, expected numbers")
