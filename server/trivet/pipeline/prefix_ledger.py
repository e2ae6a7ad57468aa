"""The ledger of the prefixes that an engine has computed, for the receipt's expected cached tokens."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from trivet.metering.account import ChoiceAccount
from trivet.ports import Backend
from trivet.types.generation import Replica
from trivet.types.prompt import AssembledPrompt

REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class PrefixKey:
    """What the engine's prefix cache tells apart: its own life, the salt, the adapter, the tokens.

    `replica`: which of several engines, in which life; empty where the backend is one.
    """

    backend: str
    incarnation: int
    salt: str | None
    adapter: str | None
    prefix: str
    replica: str = ""


class PrefixCacheLedger:
    """Remembers the last `REMEMBERED` prefixes that were computed; the engine may have evicted more."""

    def __init__(self) -> None:
        self._computed: OrderedDict[PrefixKey, None] = OrderedDict()

    def key(self, backend: Backend, salt: str | None, adapter: str | None, prefix: str, replica: str = "") -> PrefixKey:
        """The key of a prefix (by its fingerprint) on a backend as it lives now: no salt covers it where the backend
        can leave it out.
        """
        salt = None if backend.salts_after_prefix else salt
        return PrefixKey(backend.name, backend.incarnation, salt, adapter, prefix, replica)

    def expected(self, key: PrefixKey, prefix_tokens: int, block_size: int) -> int:
        """Tokens of the prefix's full KV blocks if they were computed under the same key, else 0."""
        return prefix_tokens // block_size * block_size if key in self._computed else 0

    def knows(self, key: PrefixKey) -> bool:
        """Whether it was computed."""
        return key in self._computed

    def computed(self, key: PrefixKey) -> None:
        """The engine has gone through this prefix."""
        self._computed[key] = None
        self._computed.move_to_end(key)
        while len(self._computed) > REMEMBERED:
            self._computed.popitem(last=False)


class ExpectedPrefix:
    """What one answer is expected to find computed, on the engine that it goes to."""

    def __init__(
        self,
        ledger: PrefixCacheLedger,
        backend: Backend,
        salt: str | None,
        adapter: str | None,
        prompt: AssembledPrompt,
        account: ChoiceAccount,
    ) -> None:
        self._ledger = ledger
        self._backend = backend
        self._identity = (salt, adapter, prompt.prefix_fingerprint)
        start = prompt.activated_from
        self._tokens = prompt.prefix_tokens if start is None else min(prompt.prefix_tokens, start)
        self._whole = self._tokens // backend.block_size == prompt.prefix_tokens // backend.block_size
        self._account = account
        self.placed(Replica())

    def placed(self, replica: Replica) -> None:
        """It goes to this one of the backend's engines."""
        self._replica = replica.id
        self._account.node = replica.node
        if self._backend.keeps_prefixes:
            expected = self._ledger.expected(self._key(), self._tokens, self._backend.block_size)
            self._account.expected_cached_tokens = expected

    def computed(self) -> None:
        """That engine has gone through the prefix, unless an adapter acted on the end of it."""
        if not self._whole:
            return
        self._ledger.computed(self._key())

    def _key(self) -> PrefixKey:
        return self._ledger.key(self._backend, *self._identity, self._replica)
