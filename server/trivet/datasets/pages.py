"""Interactions page by page, for somebody who reads slowly: a stream that is not read would be ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from google.protobuf.timestamp_pb2 import Timestamp

from trivet.api.v1 import interaction_pb2

PAGE = 200
_OVERLAP_NS = 1_000_000  # times are rounded on their way: a page begins a little before the last one's end

Fetch = Callable[[interaction_pb2.InteractionFilter, int], list[interaction_pb2.Interaction]]
"""A filter and a limit to interactions in the order in which they were stored."""


def unseen(
    fetch: Fetch, wanted: interaction_pb2.InteractionFilter, page: int = PAGE
) -> Iterator[interaction_pb2.Interaction]:
    """All that are wanted, each once, in their order; at most some `page` of them are held."""
    part = interaction_pb2.InteractionFilter()
    part.CopyFrom(wanted)
    known: set[str] = set()
    while True:
        limit = page + len(known)
        found = fetch(part, limit)
        yield from (one for one in found if one.request_id not in known)
        if len(found) < limit:
            return
        begin = found[-1].stored_at.ToNanoseconds() - _OVERLAP_NS
        known = {one.request_id for one in found if one.stored_at.ToNanoseconds() >= begin}
        after = Timestamp()
        after.FromNanoseconds(max(begin, part.after.ToNanoseconds()))
        part.after.CopyFrom(after)
