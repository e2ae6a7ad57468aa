"""YAML from files that others write, bounded before anything is built of it: bytes, depth, what aliases stand for.

A few aliases of aliases can stand for more than the memory holds, and whoever walks the result pays for all of it.
"""

from __future__ import annotations

from typing import Any

import yaml

MAX_BYTES = 4 << 20
MAX_DEPTH = 100
MAX_NODES = 200_000


class _Loader(yaml.SafeLoader):
    """Counts nodes as it composes them, an alias as all that it stands for."""

    def __init__(self, text: str, *, aliases: bool) -> None:
        super().__init__(text)
        self._aliases = aliases
        self._depth = 0
        self._nodes = 0
        self._sizes: dict[str, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            if not self._aliases:
                self._refuse("it has an alias, expected plain values", event)
            if event.anchor in self.anchors and event.anchor not in self._sizes:
                self._refuse("an alias stands for what it is in", event)
            self._count(self._sizes.get(str(event.anchor), 1), event)
            return super().compose_node(parent, index)
        before = self._nodes
        self._count(1, event)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._refuse(f"nested deeper than {MAX_DEPTH}", event)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if event.anchor is not None:
            self._sizes[event.anchor] = self._nodes - before
        return node

    def _count(self, nodes: int, event: Any) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            self._refuse(f"more than {MAX_NODES} values, those that aliases stand for included", event)

    def _refuse(self, problem: str, event: Any) -> None:
        raise yaml.composer.ComposerError(None, None, problem, event.start_mark)


def compose(text: str, *, aliases: bool = True, max_bytes: int = MAX_BYTES) -> yaml.Node | None:
    """The document's tree, for its line numbers; None if it is empty. Raises yaml.YAMLError, also for a bound."""
    loader = _open(text, aliases, max_bytes)
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


def load(text: str, *, aliases: bool = True, max_bytes: int = MAX_BYTES) -> Any:
    """The document as plain data. Raises yaml.YAMLError: for a bound, and for a value that is not what its tag says."""
    loader = _open(text, aliases, max_bytes)
    try:
        return loader.get_single_data()
    except (ValueError, LookupError, AttributeError, TypeError, ArithmeticError) as problem:
        raise yaml.constructor.ConstructorError(None, None, f"a value is not what its tag says: {problem}") from problem
    finally:
        loader.dispose()


def _open(text: str, aliases: bool, max_bytes: int) -> _Loader:
    size = len(text.encode(errors="replace"))
    if size > max_bytes:
        raise yaml.YAMLError(f"has {size} bytes, expected at most {max_bytes}")
    return _Loader(text, aliases=aliases)
