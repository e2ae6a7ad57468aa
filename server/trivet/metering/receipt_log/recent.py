"""The latest receipts in memory, shared fairly between tenants: the one that has the most gives way."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from trivet.types.receipt import Receipt

MAX_RECEIPTS = 10_000
MAX_BYTES = 64 << 20


@dataclass(slots=True)
class _TenantReceipts:
    """One tenant's, by request id, oldest first; each with its size in bytes."""

    receipts: OrderedDict[str, tuple[Receipt, int]] = field(default_factory=OrderedDict)
    size: int = 0


class RecentReceipts:
    """At most `max_receipts` of at most `max_bytes` together. Remembering one takes a step for each tenant."""

    def __init__(self, max_receipts: int = MAX_RECEIPTS, max_bytes: int = MAX_BYTES) -> None:
        self._max_receipts = max_receipts
        self._max_bytes = max_bytes
        self._by_tenant: dict[str, _TenantReceipts] = {}
        self._count = 0
        self._size = 0

    def remember(self, receipt: Receipt, size: int) -> None:
        """Keep it in place of an earlier one of the same tenant and request id."""
        kept = self._by_tenant.setdefault(receipt.tenant, _TenantReceipts())
        if receipt.request_id in kept.receipts:
            self._forget(receipt.tenant, receipt.request_id)
            kept = self._by_tenant.setdefault(receipt.tenant, _TenantReceipts())
        kept.receipts[receipt.request_id] = receipt, size
        kept.size += size
        self._count += 1
        self._size += size
        while self._count > self._max_receipts:
            self._forget_oldest_of(max(self._by_tenant, key=lambda tenant: len(self._by_tenant[tenant].receipts)))
        while self._size > self._max_bytes:
            self._forget_oldest_of(max(self._by_tenant, key=lambda tenant: self._by_tenant[tenant].size))

    def find(self, tenant: str, request_id: str) -> Receipt | None:
        """The newest one of that id and tenant, if it is kept."""
        kept = self._by_tenant.get(tenant)
        found = None if kept is None else kept.receipts.get(request_id)
        return None if found is None else found[0]

    def _forget_oldest_of(self, tenant: str) -> None:
        self._forget(tenant, next(iter(self._by_tenant[tenant].receipts)))

    def _forget(self, tenant: str, request_id: str) -> None:
        kept = self._by_tenant[tenant]
        _, size = kept.receipts.pop(request_id)
        kept.size -= size
        self._count -= 1
        self._size -= size
        if not kept.receipts:
            del self._by_tenant[tenant]
