"""How much a tenant may have in the indexes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Quota:
    """Of one tenant, over all indexes; bytes as the documents were given. None for no bound."""

    max_documents: int | None = None
    max_bytes: int | None = None


NO_BOUNDS = Quota()


@dataclass(frozen=True, slots=True)
class Quotas:
    """Each tenant's. Documents that all tenants share have none: operators alone write them."""

    default: Quota = NO_BOUNDS
    by_tenant: Mapping[str, Quota] = field(default_factory=dict)

    def of(self, tenant: str) -> Quota:
        """A tenant's quota; that of nobody, empty, is no bound."""
        return self.by_tenant.get(tenant, self.default) if tenant else NO_BOUNDS


NO_QUOTAS = Quotas()
