"""Adapters that could not be had, remembered for a while: asking for one again costs nothing and loads nothing."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from trivet.errors import NotFound, TrivetError
from trivet.types.variant import VersionRef

PER_TENANT = 256
RECHECK = 2.0  # seconds between two looks at whether the files are still the same
LOOKS_AT_ONCE = 4


@dataclass(slots=True)
class _Failure:
    """`fingerprint`: of the files that failed; None where nothing but time mends it."""

    error: TrivetError
    fingerprint: str | None
    until: float
    looked: float


class FailureMemory:
    """What failed for each tenant, the last PER_TENANT of each: nobody pushes out what another one's requests found.

    While it is remembered, the files are looked at again in the background, every RECHECK seconds at most and only if
    somebody asks: other files are tried at once, and one that is still missing stays remembered. `fingerprint` raises
    what it likes: then nothing is known. All calls come from one event loop; `close` last.
    """

    def __init__(
        self,
        seconds: float,
        fingerprint: Callable[[VersionRef], Awaitable[str]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds = seconds
        self._fingerprint = fingerprint
        self._clock = clock
        self._known: dict[str, OrderedDict[VersionRef, _Failure]] = {}
        self._looks: dict[VersionRef, asyncio.Task[None]] = {}

    def raise_known(self, tenant: str, ref: VersionRef) -> None:
        """Raise again what is remembered."""
        failure = self._known.get(tenant, OrderedDict()).get(ref)
        if failure is None:
            return
        now = self._clock()
        if now >= failure.until:
            self.forget(tenant, ref)
            return
        due = failure.fingerprint is not None and now - failure.looked >= RECHECK
        if due and ref not in self._looks and len(self._looks) < LOOKS_AT_ONCE:
            failure.looked = now
            self._looks[ref] = asyncio.create_task(self._look(tenant, ref, failure))
        raise failure.error.with_traceback(None)

    async def remember(self, tenant: str, ref: VersionRef, error: TrivetError, seconds: float | None = None) -> None:
        """It failed: for `seconds`, or until its files are others, but not longer than the settings say."""
        fingerprint = None
        if seconds is None:
            try:
                fingerprint = await self._fingerprint(ref)
            except TrivetError:
                seconds = RECHECK
        now = self._clock()
        of_tenant = self._known.setdefault(tenant, OrderedDict())
        of_tenant[ref] = _Failure(error, fingerprint, now + (self._seconds if seconds is None else seconds), now)
        of_tenant.move_to_end(ref)
        while len(of_tenant) > PER_TENANT:
            of_tenant.popitem(last=False)

    def forget(self, tenant: str, ref: VersionRef) -> None:
        """It may be tried again."""
        of_tenant = self._known.get(tenant, OrderedDict())
        of_tenant.pop(ref, None)
        if not of_tenant:
            self._known.pop(tenant, None)

    async def close(self) -> None:
        """Look at nothing any more."""
        looks = list(self._looks.values())
        for look in looks:
            look.cancel()
        await asyncio.gather(*looks, return_exceptions=True)

    async def _look(self, tenant: str, ref: VersionRef, failure: _Failure) -> None:
        try:
            same = await self._fingerprint(ref) == failure.fingerprint
        except TrivetError:
            return
        finally:
            self._looks.pop(ref, None)
        if not same:
            self.forget(tenant, ref)
        elif isinstance(failure.error, NotFound):
            failure.until = self._clock() + self._seconds
