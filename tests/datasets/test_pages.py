"""A log that is read page by page is read whole, and nothing twice, however many were stored at the same moment."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trivet.api.v1 import interaction_pb2
from trivet.datasets.pages import unseen


@given(st.lists(st.integers(0, 6), max_size=60), st.integers(1, 9))
def test_each_comes_once_and_in_order(times: list[int], page: int) -> None:
    log = []
    for number, seconds in enumerate(sorted(times)):
        one = interaction_pb2.Interaction(request_id=f"r{number}")
        one.stored_at.FromNanoseconds(1_000_000_000 * seconds + 300)
        log.append(one)
    asked: list[int] = []

    def fetch(part: interaction_pb2.InteractionFilter, limit: int) -> list[interaction_pb2.Interaction]:
        asked.append(limit)
        begin = part.after.ToNanoseconds() if part.HasField("after") else 0
        assert part.routes == ["support"]
        return [one for one in log if one.stored_at.ToNanoseconds() >= begin][:limit]

    found = unseen(fetch, interaction_pb2.InteractionFilter(routes=["support"]), page)
    assert [one.request_id for one in found] == [one.request_id for one in log]
    assert max(asked) <= page + max([0, *(times.count(value) for value in times)])
    assert len(asked) <= len(log) // page + 1
