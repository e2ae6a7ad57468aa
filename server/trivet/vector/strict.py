"""Refusing what is not supported, by name, instead of ignoring it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any


class Unsupported(Exception):
    """A call, a message or a field of the protocol that the embedded engine does not do. Becomes UNIMPLEMENTED."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is not supported by the embedded vector engine")


class Missing(Exception):
    """A collection that does not exist. Becomes NOT_FOUND."""


def allow(message: Any, fields: Collection[str]) -> None:
    """Raise Unsupported if any field of the protobuf `message` is set that is not one of `fields`."""
    for descriptor, _ in message.ListFields():
        if descriptor.name not in fields:
            raise Unsupported(f"{message.DESCRIPTOR.name}.{descriptor.name}")


def variant(message: Any, oneof: str, known: Collection[str]) -> str:
    """The name of the field set in `oneof`; raises Unsupported if it is not one of `known`, ValueError if none is."""
    name = message.WhichOneof(oneof)
    if name is None:
        raise ValueError(f"{message.DESCRIPTOR.name}: one of {', '.join(sorted(known))} must be set")
    if name not in known:
        raise Unsupported(f"{message.DESCRIPTOR.name}.{name}")
    return str(name)
