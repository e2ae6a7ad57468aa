"""What is wrong with an index's documents: never found, the same as others, stale."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trivet.api.v1 import admin_pb2

_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Health:
    """Ids of documents, those of a tenant as "tenant!id". `duplicates`: groups of the same content."""

    documents: int
    never_found: tuple[str, ...]
    duplicates: tuple[tuple[str, ...], ...]
    stale: tuple[str, ...]
    expired: tuple[str, ...]


def health(documents: Sequence[admin_pb2.DocumentSummary], found: Iterable[str], stale_days: int) -> Health:
    """`found`: ids of documents that some question has found; only shared documents can be."""
    now, seen = time.time(), set(found)
    same: dict[str, list[str]] = defaultdict(list)
    for one in documents:
        if one.content:
            same[one.content].append(_name(one))
    ended, current = list[admin_pb2.DocumentSummary](), list[admin_pb2.DocumentSummary]()
    for one in documents:
        over = one.HasField("valid_until") and one.valid_until.seconds <= now
        (ended if over else current).append(one)
    return Health(
        len(documents),
        tuple(one.id for one in current if not one.tenant and one.id not in seen),
        tuple(tuple(names) for names in same.values() if len(names) > 1),
        tuple(_name(one) for one in current if now - one.updated.seconds > stale_days * _DAY),
        tuple(map(_name, ended)),
    )


def _name(one: admin_pb2.DocumentSummary) -> str:
    return f"{one.tenant}!{one.id}" if one.tenant else one.id
