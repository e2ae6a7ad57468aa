"""When a failed call is tried again: bounded, and only where that is safe."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from trivet.client.failure import CallFailed

_MAX_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a call is tried, and how long at most it waits in between.

    A call is tried again when the server asks for it (`RetryInfo`, or the trailer `grpc-retry-pushback-ms`), after the
    time that it names; and when no server was reached (UNAVAILABLE without a reason), after a random time of up to
    `first_wait` seconds that doubles with each attempt. A stream is never tried again after its first chunk, and
    nothing is once the call's deadline would pass, or the server asks for more than `longest_wait` seconds.

    Only calls that change nothing are tried again: generating, searching, reading a receipt or the health.
    """

    attempts: int = 3
    first_wait: float = 0.2
    longest_wait: float = 10.0

    def __post_init__(self) -> None:
        if not 1 <= self.attempts <= _MAX_ATTEMPTS:
            raise ValueError(f"attempts: expected 1 to {_MAX_ATTEMPTS}, got {self.attempts}")
        if not 0 < self.first_wait <= self.longest_wait:
            raise ValueError(f"first_wait: expected above 0 and at most longest_wait, got {self.first_wait:g}")


ONCE = Retry(attempts=1)


class Attempts:
    """The attempts of one call, within one deadline; `timeout` in seconds."""

    def __init__(self, policy: Retry, timeout: float) -> None:
        if not timeout > 0:
            raise ValueError(f"timeout: expected more than 0 seconds, got {timeout:g}")
        self._policy = policy
        self._deadline = time.monotonic() + timeout
        self._made = 0

    @property
    def remaining(self) -> float:
        """Seconds that the next attempt has."""
        return max(0.001, self._deadline - time.monotonic())

    def wait_after(self, failure: CallFailed) -> float:
        """Seconds to wait before the next attempt; raises `failure` if there is to be none."""
        self._made += 1
        wait = failure.retry_after
        if wait is None and failure.code == "UNAVAILABLE" and not failure.reason:
            wait = random.uniform(0, min(self._policy.longest_wait, self._policy.first_wait * 2 ** (self._made - 1)))
        if (
            wait is None
            or self._made >= self._policy.attempts
            or wait > self._policy.longest_wait
            or time.monotonic() + wait >= self._deadline
        ):
            raise failure
        return wait
