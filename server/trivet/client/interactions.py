"""Calls about the interaction log, for threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from trivet.api.v1 import admin_pb2_grpc, interaction_pb2
from trivet.client.failure import failures


class Interactions:
    """A client's calls about its tenant's interactions, which need an operator's key; they raise CallFailed."""

    def __init__(self, admin: admin_pb2_grpc.AdminStub, timeout: float, metadata: Sequence[tuple[str, str]]) -> None:
        self._admin = admin
        self._timeout = timeout
        self._metadata = metadata

    def export(
        self, filter_: interaction_pb2.InteractionFilter | None = None, limit: int = 0
    ) -> Iterator[interaction_pb2.Interaction]:
        """Those that the filter names, in the order in which they were stored, at most `limit`, or all for 0.

        Without a time limit.
        """
        request = interaction_pb2.ExportInteractionsRequest(filter=filter_, limit=limit)
        with failures():
            for answer in self._admin.ExportInteractions(request, metadata=self._metadata):
                yield answer.interaction

    def count(
        self, filter_: interaction_pb2.InteractionFilter | None = None
    ) -> Sequence[interaction_pb2.InteractionCount]:
        """How many there are, by route and variant."""
        request = interaction_pb2.CountInteractionsRequest(filter=filter_)
        with failures():
            return self._admin.CountInteractions(request, timeout=self._timeout, metadata=self._metadata).counts

    def erase(self, *, unit_ids: Sequence[str] = (), request_ids: Sequence[str] = (), everything: bool = False) -> int:
        """Erase those of units or requests, or everything; how many there were. It may be repeated without harm."""
        request = interaction_pb2.EraseInteractionsRequest(unit_ids=unit_ids, request_ids=request_ids, all=everything)
        with failures():
            return self._admin.EraseInteractions(request, timeout=self._timeout, metadata=self._metadata).erased
