"""What of a new configuration a running server cannot take up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trivet.config.load import Config
from trivet.config.yaml_lines import read_yaml

RELOADED = frozenset({"routes", "prices", "index_prices", "keys", "budgets"})
RESTART = "differs from what is served: needs a restart"


def needs_restart(running: Config, new: Config) -> list[str]:
    """One line per field, with file and line, that differs beside what is reloaded; empty if none does."""
    document = read_yaml(new.path)
    old, told = (config.file.model_dump(exclude=set(RELOADED)) for config in (running, new))
    problems = [document.problem(path, RESTART) for path in _differing(old, told, ())]
    for name in sorted(running.indexes.keys() & new.indexes.keys()):
        index = new.indexes[name]
        own = read_yaml(index.folder / "index.yaml")
        problems += [
            own.problem(path, RESTART)
            for path in _differing(running.indexes[name].file.model_dump(), index.file.model_dump(), ())
        ]
    return problems


def _differing(old: Any, new: Any, at: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in dict.fromkeys((*old, *new)):
            if name in old and name in new:
                yield from _differing(old[name], new[name], (*at, name))
            else:
                yield (*at, name)
    elif old != new:
        yield at
