"""An adapter's tensors against the base model: names, pairs, shapes, ranks, finiteness.

The engine loads most of the misfits found here without a word and then answers wrongly.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trivet.adapters.preflight import peft_config
from trivet.adapters.preflight.base_model import BaseModel
from trivet.adapters.preflight.peft_config import LARGEST, PeftConfig
from trivet.adapters.tensors.safetensors_header import HeaderError, TensorEntry, read_header
from trivet.adapters.tensors.tensor_name import EMBEDDING_PAIR, MAGNITUDE, PAIR, PREFIX, TensorName
from trivet.errors import AdapterRejected
from trivet.excerpt import quote_masked

FILE = "adapter_model.safetensors"
CONFIG = peft_config.FILE
# The bits of an exponent: all set, it is an infinity or not a number.
EXPONENTS: Mapping[str, tuple[Any, int]] = {
    "F32": (np.uint32, 0x7F800000),
    "F16": (np.uint16, 0x7C00),
    "BF16": (np.uint16, 0x7F80),
}
BLOCK = 1 << 22
B_PARTS = (PAIR[1], EMBEDDING_PAIR[1])


def check_weights(path: Path, config: PeftConfig, base: BaseModel, *, to_merge: bool = False) -> None:
    """Raises AdapterRejected with the tensor, what was found and what was expected.

    `to_merge`: modules of the base may be there whole, and the vocabulary's with more or fewer rows.
    """
    try:
        entries = read_header(path)
    except HeaderError as problem:
        raise AdapterRejected(f"{FILE}: {problem}") from problem
    chosen = chosen_modules(config, base)
    found: dict[str, dict[str, str]] = {}
    whole: dict[str, str] = {}
    for name in entries:
        tensor = _place(name, config, base, to_merge=to_merge)
        if tensor.whole:
            whole[f"{tensor.module}.{tensor.part}"] = name
            continue
        if tensor.module not in chosen:
            raise AdapterRejected(f"tensor {name}: target_modules does not name {tensor.module}")
        found.setdefault(tensor.module, {})[tensor.part] = name
    _check_complete(found, chosen, config, base, whole)
    for module, parts in found.items():
        rows = entries[whole[f"{module}.weight"]].shape[0] if f"{module}.weight" in whole else None
        _check_shapes(module, parts, entries, config, base, rows)
        for part, name in parts.items():
            _check_numbers(path, name, entries[name], config.scale_of(module) if part in B_PARTS else 1.0)
    for of_base, name in whole.items():
        _check_whole(of_base, name, entries[name], base)
        _check_numbers(path, name, entries[name], 1.0)


def chosen_modules(config: PeftConfig, base: BaseModel) -> set[str]:
    """The base's modules that the configuration adapts; `all-linear` leaves the vocabulary's out, as PEFT does."""
    everything = config.choice.everything
    return config.choice.chosen(base.modules if everything else {**base.modules, **base.vocabulary})


def _place(name: str, config: PeftConfig, base: BaseModel, *, to_merge: bool) -> TensorName:
    """What a tensor is for: the module, and the part of it."""
    tensor = TensorName.parse(name)
    if tensor is None or (tensor.part == MAGNITUDE and not config.dora):
        raise AdapterRejected(f"tensor {name}: expected {PREFIX}<module>.lora_A.weight or .lora_B.weight")
    module = tensor.module
    if tensor.whole:
        _check_whole_allowed(name, tensor, base, to_merge=to_merge)
        return tensor
    layer = base.beyond(module)
    if layer is not None:
        raise AdapterRejected(f"tensor {name}: layer {layer} is beyond the base model's {base.layers} layers")
    if module not in base.modules and module not in base.vocabulary:
        known = ", ".join(base.module_names)
        raise AdapterRejected(f"tensor {name}: the base model has no module {module} for it (its layers have {known})")
    if module in base.vocabulary and not to_merge and not base.vocabulary_served:
        raise AdapterRejected(
            f"tensor {name}: the engine does not serve LoRA on {module} of this kind of model; `trivet adapter merge` "
            "makes a model of it, to be served as a backend"
        )
    if tensor.part not in parts_of(module, config, base):
        expected = " and ".join(parts_of(module, config, base))
        raise AdapterRejected(f"tensor {name}: expected {expected} for {module}")
    return tensor


def _check_whole_allowed(name: str, tensor: TensorName, base: BaseModel, *, to_merge: bool) -> None:
    if not to_merge:
        raise AdapterRejected(
            f"tensor {name}: is all of {tensor.module}, and the engine serves LoRA's matrices alone. `trivet adapter "
            "import` leaves it out if it equals the base's; else `trivet adapter merge` makes a model of it, to be "
            "served as a backend"
        )
    known = f"{tensor.module}.{tensor.part}" in base.tensors
    if not known and not (tensor.part == "weight" and tensor.module in base.vocabulary):
        raise AdapterRejected(f"tensor {name}: the base model has no {tensor.module}.{tensor.part} in its place")


def parts_of(module: str, config: PeftConfig, base: BaseModel) -> tuple[str, ...]:
    """The endings of the tensors that an adapted module has."""
    if module == base.embedding:
        return EMBEDDING_PAIR
    return (*PAIR, MAGNITUDE) if config.dora else PAIR


def _check_complete(
    found: Mapping[str, Mapping[str, str]],
    chosen: Collection[str],
    config: PeftConfig,
    base: BaseModel,
    whole: Collection[str],
) -> None:
    if not found and not whole:
        raise AdapterRejected(f"{FILE}: has no tensor")
    targets = config.choice.targets
    known = (*base.modules, *base.vocabulary)
    for target in () if isinstance(targets, str) else targets:
        modules = [module for module in known if module == target or module.endswith(f".{target}")]
        if not modules:
            names = ", ".join(base.module_names)
            raise AdapterRejected(f"{CONFIG}: target_modules names {quote_masked(target)}, expected some of {names}")
        missing = [module for module in modules if module in chosen and module not in found]
        if missing:
            tensor = TensorName(missing[0], parts_of(missing[0], config, base)[0])
            raise AdapterRejected(f"tensor {tensor}: is missing, but target_modules names {quote_masked(target)}")
    for module, parts in found.items():
        for part in parts_of(module, config, base):
            if part not in parts:
                rest = "its A and B are" if part == MAGNITUDE else "its other half is"
                raise AdapterRejected(f"tensor {PREFIX}{module}.{part}: is missing, {rest} there")


def _check_shapes(
    module: str,
    parts: Mapping[str, str],
    entries: Mapping[str, TensorEntry],
    config: PeftConfig,
    base: BaseModel,
    own_rows: int | None,
) -> None:
    """`own_rows`: those of the module's whole weight, where the adapter has it."""
    stored = base.modules.get(module) or base.vocabulary[module]
    stored = (own_rows or stored[0], stored[1])
    rows, columns = reversed(stored) if transposed(module, base) else stored
    rank = config.rank_of(module)
    expected_shapes = zip(parts_of(module, config, base), ((rank, columns), (rows, rank), (rows,)), strict=False)
    for part, expected in expected_shapes:
        name, shape = parts[part], entries[parts[part]].shape
        if shape != expected:
            raise AdapterRejected(
                f"tensor {name}: has shape {list(shape)}, expected {list(expected)} "
                f"(rank {rank} by adapter_config.json, base weight {list(stored)})"
            )


def transposed(module: str, base: BaseModel) -> bool:
    """Whether the base keeps a module's matrix as (in, out): an embedding does, and so do some models' layers."""
    return module == base.embedding or (base.stores_transposed and module in base.modules)


def _check_whole(of_base: str, name: str, entry: TensorEntry, base: BaseModel) -> None:
    """As the base's; the vocabulary's may have another number of rows, and a tied head has the embedding's shape."""
    module = of_base.removesuffix(".weight")
    if module in base.vocabulary:
        expected: tuple[int, ...] = base.vocabulary[module]
        fits = len(entry.shape) == 2 and entry.shape[0] > 0 and entry.shape[1] == expected[1]
    else:
        expected = base.tensors[of_base].shape
        fits = entry.shape == expected
    if not fits:
        raise AdapterRejected(f"tensor {name}: has shape {list(entry.shape)}, expected {list(expected)} as the base's")


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
