"""Fields of another point: the one addition to the protocol, which spares a search its second call.

A point may hold the id of another one in its field `head`. Where a query asks for `head` and for `head.NAME`, the
answer has the fields of that other point in place of its id, read after the search and before any other call. A Qdrant
server answers such a query with the id: whoever asks looks at what came.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qdrant_edge as edge

HEAD = "head"
_INSIDE = f"{HEAD}."


def follow(shard: edge.EdgeShard, request: Any, payloads: Sequence[dict[str, Any]]) -> None:
    """Put what a query `request` asks of the points referred to into the payloads found; an id of none stays."""
    if not request.HasField("with_payload"):
        return
    asked = request.with_payload.include.fields
    fields = [name.removeprefix(_INSIDE) for name in asked if name.startswith(_INSIDE)]
    holders = [payload for payload in payloads if isinstance(payload.get(HEAD), str)] if fields else []
    if not holders:
        return
    ids = sorted({payload[HEAD] for payload in holders})
    records = shard.retrieve(ids, edge.PayloadSelector.Include(fields), False)
    known = {str(record.id): record.payload or {} for record in records}
    for payload in holders:
        payload[HEAD] = known.get(payload[HEAD], payload[HEAD])
