"""Which adapters routes want, and which of them must never leave the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from trivet.types.variant import VersionRef


class AdapterDemand:
    """Live: who reads it sees each change. All calls come from one event loop.

    `users`: for each adapter that is wanted, the variants that name it. `pinned`: those that give way to nobody, though
    no request may have used them for long, because all of a route's requests may be theirs in a moment. `on_demand`:
    those that requests chose, which nothing else keeps; they give way first, and to make room for one of them no other
    goes that a variant wants.
    """

    def __init__(self, users: Mapping[VersionRef, Sequence[str]] | None = None) -> None:
        self.users: dict[VersionRef, Sequence[str]] = dict(users or {})
        self.pinned: set[VersionRef] = set()
        self.on_demand: set[VersionRef] = set()

    def change(self, users: Mapping[VersionRef, Sequence[str]], pinned: Set[VersionRef]) -> None:
        """Want these and no others."""
        self.users.clear()
        self.users.update(users)
        self.pinned.clear()
        self.pinned.update(pinned)
