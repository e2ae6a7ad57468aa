"""What must still be so when a write reaches a log that several gateways write to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from trivet.stores.records import DocumentKey
from trivet.stores.sql import SqlConnection


class Conflict(Enum):
    """Why a write has to begin again."""

    LIVE = "another snapshot has become live"
    SWAP = "another snapshot is about to become live"
    BUSY = "another gateway is writing the document"
    NEWER = "another gateway has written the document"


class WriteConflict(Exception):
    """Nothing was logged: the write is to begin again."""

    def __init__(self, why: Conflict) -> None:
        super().__init__(why.value)
        self.why = why


Noted = Callable[[SqlConnection, str, DocumentKey, int], None]


def unnoted(_connection: SqlConnection, _index: str, _key: DocumentKey, _seq: int) -> None:
    """Only one gateway writes, and it knows by itself what it has not applied yet."""


@dataclass(frozen=True, slots=True)
class WriteTerms:
    """A write was prepared for the live snapshot `live`, which became live with its catalogue's change `changes`.

    It was prepared over the document's entry `newest`: its seq, 0 if there was none. `logged` notes, in the
    transaction, that the entry is to be applied.
    """

    live: str = ""
    changes: int = 0
    newest: int = 0
    logged: Noted = unnoted


NO_TERMS = WriteTerms()
Admit = Callable[[SqlConnection, str, DocumentKey, WriteTerms], None]


def admit_all(_connection: SqlConnection, _index: str, _key: DocumentKey, _terms: WriteTerms) -> None:
    """There is one gateway; raises nothing."""
