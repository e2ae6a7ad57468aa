"""Where interactions are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from trivet.types.interaction import InteractionCount, InteractionFilter, SealedInteraction, StoredInteraction

MOST_BYTES = 1 << 20
"""Of what is sealed, in one interaction."""
MOST_ERASED = 1000
"""Units, and requests, that are erased at once."""


class InteractionStore(Protocol):
    """Shared by gateways. Everything raises StateUnavailable while it is away."""

    async def add_interactions(self, new: Sequence[SealedInteraction], ages: Sequence[float]) -> int:
        """Store them, each request once; how many were new. `ages`: seconds since each was answered.

        What was erased since then is dropped. InvalidRequest for what is out of bounds.
        """
        ...

    async def interactions(
        self, wanted: InteractionFilter, after_number: int = 0, limit: int = 100
    ) -> Sequence[StoredInteraction]:
        """Some of them by number, with what was said of them. None only at the end."""
        ...

    async def count_interactions(self, wanted: InteractionFilter) -> Sequence[InteractionCount]:
        """How many there are, by route and variant."""
        ...

    async def erase_interactions(
        self, tenant: str, units: Sequence[str] = (), request_ids: Sequence[str] = (), *, everything: bool = False
    ) -> int:
        """Remove some of a tenant's, with what was said of them; how many. To be called again until it is 0.

        InvalidRequest for more than MOST_ERASED units (their digests) or requests.
        """
        ...

    async def forget_interactions(self, keep_seconds: float) -> int:
        """Remove some that are older; how many. To be called again until it is 0."""
        ...
