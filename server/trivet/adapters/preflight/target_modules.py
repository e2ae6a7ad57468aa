"""Which modules of its base an adapter is for. Source: `check_target_module_exists` of PEFT's `tuners_utils`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trivet.adapters.preflight.module_pattern import fitting
from trivet.errors import AdapterRejected
from trivet.excerpt import quote_masked

FILE = "adapter_config.json"
ALL_LINEAR = "all-linear"
MAX_NAMES = 4096
MAX_PATTERN = 4096
MAX_PLACES = 16
_PLAIN = re.compile(r"[\w.-]+")


@dataclass(frozen=True, slots=True)
class TargetModules:
    """`targets` and `excluded`: names (of modules, or how those end), or a pattern. `layers`: None for all of them.

    `places`: what stands before a layer's number, empty for anything.
    """

    targets: tuple[str, ...] | str
    excluded: tuple[str, ...] | str = ()
    layers: frozenset[int] | None = None
    places: tuple[str, ...] = ()

    @property
    def everything(self) -> bool:
        """Whether it is PEFT's word for all linear modules."""
        return isinstance(self.targets, str) and self.targets.lower() == ALL_LINEAR

    def chosen(self, modules: Iterable[str]) -> set[str]:
        """Those of the base's modules that PEFT would adapt.

        Raises AdapterRejected if a pattern is no pattern or takes too long, and what `fitting` does.
        """
        modules = list(modules)
        if isinstance(self.targets, str):
            chosen = set(modules) if self.everything else _fitting("target_modules", self.targets, modules)
        else:
            ends = tuple(f".{name}" for name in self.targets)
            chosen = {
                module
                for module in modules
                if module in self.targets or (module.endswith(ends) and self._in_layers(module))
            }
        if isinstance(self.excluded, str):
            return chosen - _fitting("exclude_modules", self.excluded, modules)
        left_out = tuple(f".{name}" for name in self.excluded)
        return {module for module in chosen if module not in self.excluded and not module.endswith(left_out)}

    def _in_layers(self, module: str) -> bool:
        if self.layers is None:
            return True
        parts = module.split(".")
        if not self.places:
            index = _first_number(parts[2:-1])
        else:
            found = (_number_behind(place.split("."), parts) for place in self.places)
            index = next((number for number in found if number is not None), None)
        return index in self.layers


def read_module_choice(content: Mapping[str, Any]) -> TargetModules:
    """From PEFT's configuration; raises AdapterRejected with the field, what it has and what it should."""
    targets = _names_or_pattern(content, "target_modules")
    if not targets:
        found = quote_masked(content.get("target_modules"))
        raise AdapterRejected(f"{FILE}: target_modules is {found}, expected a list of module names")
    places = content.get("layers_pattern") or ()
    places = (places,) if isinstance(places, str) else places
    if not _plain_names(places):
        raise AdapterRejected(
            f"{FILE}: layers_pattern is {quote_masked(places)}, expected at most {MAX_PLACES} plain names"
        )
    layers = _layers(content)
    if layers is not None and isinstance(targets, str):
        raise AdapterRejected(
            f"{FILE}: layers_to_transform is {quote_masked(layers)}, expected none beside a pattern of targets"
        )
    if places and layers is None:
        raise AdapterRejected(
            f"{FILE}: layers_pattern is {quote_masked(places)}, expected none without layers_to_transform"
        )
    return TargetModules(targets, _names_or_pattern(content, "exclude_modules"), layers, tuple(places))


def _layers(content: Mapping[str, Any]) -> frozenset[int] | None:
    value = content.get("layers_to_transform")
    if value is None or value == []:
        return None
    numbers = value if isinstance(value, list) else [value]
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise AdapterRejected(f"{FILE}: layers_to_transform is {quote_masked(value)}, expected numbers of layers")
    return frozenset(numbers)


def _names_or_pattern(content: Mapping[str, Any], field: str) -> tuple[str, ...] | str:
    value = content.get(field) or ()
    if isinstance(value, str):
        if len(value) > MAX_PATTERN:
            raise AdapterRejected(f"{FILE}: {field} has {len(value)} characters, expected at most {MAX_PATTERN}")
        return value
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) and name for name in value):
        raise AdapterRejected(f"{FILE}: {field} is {quote_masked(value)}, expected a list of module names")
    if len(value) > MAX_NAMES:
        raise AdapterRejected(f"{FILE}: {field} has {len(value)} names, expected at most {MAX_NAMES}")
    return tuple(value)


def _plain_names(values: Any) -> bool:
    return (
        isinstance(values, list | tuple)
        and len(values) <= MAX_PLACES
        and all(isinstance(name, str) and _PLAIN.fullmatch(name) for name in values)
    )


def _first_number(parts: Sequence[str]) -> int | None:
    return next((int(part) for part in parts if part.isdecimal()), None)


def _number_behind(place: Sequence[str], parts: Sequence[str]) -> int | None:
    """The number that stands behind the first `place` in a name's parts with one, other parts behind it."""
    for at in range(len(place), len(parts) - 1):
        if parts[at].isdecimal() and parts[at - len(place) : at] == place:
            return int(parts[at])
    return None


def _fitting(field: str, pattern: str, modules: list[str]) -> set[str]:
    try:
        return fitting(pattern, modules)
    except AdapterRejected as problem:
        raise AdapterRejected(f"{FILE}: {field} {problem}") from problem
