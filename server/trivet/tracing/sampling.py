"""Which requests are traced: what the caller decided, else a share of those that come without a trace.

The decision is made before anything is done for the request, so that one that is not traced costs nothing more.
"""

from __future__ import annotations

import re
import secrets

from trivet.types.request import TraceContext

# Version 00 has just these four parts; later versions may have more behind them.
_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1
_RANDOM_BITS = 64  # of an id's end: the part that the specification calls random


class Sampler:
    """`share`: of the requests without a trace of their own, 0 to 1."""

    def __init__(self, share: float) -> None:
        self._below = int(share * (1 << _RANDOM_BITS))

    def begin(self, traceparent: str | None) -> TraceContext | None:
        """The trace of a request with this header; None for one that nobody traces. A header that is none is as if it
        were absent, as the specification asks."""
        found = None if traceparent is None else _TRACEPARENT.fullmatch(traceparent)
        if found is not None and _is_valid(found):
            return TraceContext(found[2], found[3], bool(int(found[4], 16) & _SAMPLED))
        trace_id = secrets.token_hex(16)
        if int(trace_id[16:], 16) >= self._below:
            return None
        return TraceContext(trace_id, sampled=True)


def _is_valid(found: re.Match[str]) -> bool:
    """No id of zeros; nothing behind the flags in the version that is known."""
    return bool(found[2].strip("0") and found[3].strip("0")) and not (found[1] == "00" and found[5])
