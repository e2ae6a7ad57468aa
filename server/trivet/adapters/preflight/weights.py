"""An adapter's tensors against the base model: names, pairs, shapes, ranks, finiteness.

The engine loads most of the misfits found here without a word and then answers wrongly.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trivet.adapters.preflight import peft_config
from trivet.adapters.preflight.base_model import BaseModel
from trivet.adapters.preflight.peft_config import LARGEST, PeftConfig
from trivet.adapters.preflight.safetensors_header import HeaderError, TensorEntry, read_header
from trivet.errors import AdapterRejected
from trivet.quotation import quote

FILE = "adapter_model.safetensors"
CONFIG = peft_config.FILE
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
    chosen = config.choice.chosen(base.modules)
    found: dict[str, dict[str, str]] = {}
    for name in entries:
        module, part = _place(name, config, base)
        if module not in chosen:
            raise AdapterRejected(f"tensor {name}: target_modules does not name {module}")
        found.setdefault(module, {})[part] = name
    _check_complete(found, chosen, config, base)
    for module, parts in found.items():
        _check_shapes(module, parts, entries, config, base)
        for part, name in parts.items():
            _check_numbers(path, name, entries[name], config.scale_of(module) if part == PAIR[1] else 1.0)


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
    return module, match["part"]


def parts_of(config: PeftConfig) -> tuple[str, ...]:
    """The endings of the tensors that each adapted module has."""
    return (*PAIR, MAGNITUDE) if config.dora else PAIR


def _check_complete(
    found: Mapping[str, Mapping[str, str]], chosen: Collection[str], config: PeftConfig, base: BaseModel
) -> None:
    if not found:
        raise AdapterRejected(f"{FILE}: has no tensor")
    targets = config.choice.targets
    for target in () if isinstance(targets, str) else targets:
        modules = [module for module in base.modules if module == target or module.endswith(f".{target}")]
        if not modules:
            known = ", ".join(base.module_names)
            raise AdapterRejected(f"{CONFIG}: target_modules names {quote(target)}, expected some of {known}")
        missing = [module for module in modules if module in chosen and module not in found]
        if missing:
            tensor = f"{PREFIX}{missing[0]}.lora_A.weight"
            raise AdapterRejected(f"tensor {tensor}: is missing, but target_modules names {quote(target)}")
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
    rows, columns = reversed(base.modules[module]) if base.stores_transposed else base.modules[module]
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


def _check_numbers(path: Path, name: str, entry: TensorEntry, scale: float) -> None:
    """Finite, and times `scale` within half precision: the engine multiplies B by it, in a dtype of its own."""
    if entry.dtype not in EXPONENTS:
        raise AdapterRejected(f"tensor {name}: has dtype {entry.dtype}, expected {', '.join(EXPONENTS)}")
    word, exponent = EXPONENTS[entry.dtype]
    sign = np.iinfo(word).max // 2
    count = (entry.end - entry.start) // np.dtype(word).itemsize
    with path.open("rb") as file:
        file.seek(entry.start)
        for at in range(0, count, BLOCK):
            # Without their signs, the bits of floating-point numbers have the order of the numbers.
            bits = np.fromfile(file, dtype=word, count=min(BLOCK, count - at)) & sign
            worst = int(bits.argmax())
            if bits[worst] >= exponent:
                raise AdapterRejected(f"tensor {name}: element {at + worst} is NaN or infinite, expected numbers")
            value = _number(bits[worst], entry.dtype)
            if value * abs(scale) > LARGEST or value > LARGEST:
                times = f", times the scale {scale:g}" if value <= LARGEST else ""
                raise AdapterRejected(
                    f"tensor {name}: element {at + worst} is {value:g} in size{times}, expected at most {LARGEST:g}"
                )


def _number(bits: Any, dtype: str) -> float:
    if dtype == "BF16":
        return float((bits.astype(np.uint32) << 16).view(np.float32))
    return float(bits.view(np.float16 if dtype == "F16" else np.float32))
