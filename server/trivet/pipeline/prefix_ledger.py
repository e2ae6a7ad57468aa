"""The ledger of the prefixes that an engine has computed, for the receipt's expected cached tokens."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from trivet.ports import Backend

REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class PrefixKey:
    """What the engine's prefix cache tells apart: its own life, the salt, the adapter, the tokens."""

    backend: str
    incarnation: int
    salt: str | None
    adapter: str | None
    prefix: str


class PrefixCacheLedger:
    """Remembers the last `REMEMBERED` prefixes that were computed; the engine may have evicted more."""

    def __init__(self) -> None:
        self._computed: OrderedDict[PrefixKey, None] = OrderedDict()

    def key(self, backend: Backend, salt: str | None, adapter: str | None, prefix: str) -> PrefixKey:
        """The key of a prefix (by its fingerprint) on a backend as it lives now: no salt covers it where the backend
        can leave it out.
        """
        salt = None if backend.salts_after_prefix else salt
        return PrefixKey(backend.name, backend.incarnation, salt, adapter, prefix)

    def expected(self, key: PrefixKey, prefix_tokens: int, block_size: int) -> int:
        """Tokens of the prefix's full KV blocks if they were computed under the same key, else 0."""
        return prefix_tokens // block_size * block_size if key in self._computed else 0

    def computed(self, key: PrefixKey) -> None:
        """The engine has gone through this prefix."""
        self._computed[key] = None
        self._computed.move_to_end(key)
        while len(self._computed) > REMEMBERED:
            self._computed.popitem(last=False)
