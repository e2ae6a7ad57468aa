"""The latest receipts in memory, shared fairly between tenants: the one that has the most gives way."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from trivet.types.receipt import Receipt

MAX_RECEIPTS = 10_000
MAX_BYTES = 64 << 20


@dataclass(slots=True)
class _Shelf:
    """One tenant's, by request id, oldest first; each with its size in bytes."""

    receipts: OrderedDict[str, tuple[Receipt, int]] = field(default_factory=OrderedDict)
    size: int = 0


class RecentReceipts:
    """At most `max_receipts` of at most `max_bytes` together. Remembering one takes a step for each tenant."""

    def __init__(self, max_receipts: int = MAX_RECEIPTS, max_bytes: int = MAX_BYTES) -> None:
        self._max_receipts = max_receipts
        self._max_bytes = max_bytes
        self._shelves: dict[str, _Shelf] = {}
        self._count = 0
        self._size = 0

    def remember(self, receipt: Receipt, size: int) -> None:
        """Keep it in place of an earlier one of the same tenant and request id."""
        shelf = self._shelves.setdefault(receipt.tenant, _Shelf())
        if receipt.request_id in shelf.receipts:
            self._forget(receipt.tenant, receipt.request_id)
            shelf = self._shelves.setdefault(receipt.tenant, _Shelf())
        shelf.receipts[receipt.request_id] = receipt, size
        shelf.size += size
        self._count += 1
        self._size += size
        while self._count > self._max_receipts:
            self._forget_oldest_of(max(self._shelves, key=lambda tenant: len(self._shelves[tenant].receipts)))
        while self._size > self._max_bytes:
            self._forget_oldest_of(max(self._shelves, key=lambda tenant: self._shelves[tenant].size))

    def find(self, tenant: str, request_id: str) -> Receipt | None:
        """The newest one of that id and tenant, if it is kept."""
        shelf = self._shelves.get(tenant)
        found = None if shelf is None else shelf.receipts.get(request_id)
        return None if found is None else found[0]

    def _forget_oldest_of(self, tenant: str) -> None:
        self._forget(tenant, next(iter(self._shelves[tenant].receipts)))

    def _forget(self, tenant: str, request_id: str) -> None:
        shelf = self._shelves[tenant]
        _, size = shelf.receipts.pop(request_id)
        shelf.size -= size
        self._count -= 1
        self._size -= size
        if not shelf.receipts:
            del self._shelves[tenant]
