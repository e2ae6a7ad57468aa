"""A kind of hostile request, and what such requests may be answered with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from google.protobuf.message import Message as ProtoMessage

SERVED = "OK"
HARMLESS = "harmless"
BAD = "INVALID_REQUEST"
TOO_LONG = "PROMPT_TOO_LONG"
UNREADABLE = "MALFORMED_MESSAGE"
BUSY = "RETRIEVAL_UNAVAILABLE"  # on a machine that is at its limit a search has a second and a half
LATE = "DEADLINE_EXCEEDED"
REFUSED = "refused in its acknowledgement"  # of a document
Payload = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of request. `payload` gives the bytes of the n-th of its kind.

    `answers`: what it may be answered with: the reason of its ErrorInfo, the bare code's name where gRPC itself
    answers, or "OK". `seconds`: the client's deadline. With `abandon` the client goes away as soon as it has sent it.
    """

    name: str
    method: str
    payload: Payload
    answers: frozenset[str]
    seconds: float = 10.0
    metadata: Mapping[str, str] = field(default_factory=dict)
    abandon: bool = False

    @property
    def streams(self) -> bool:
        """Requests and responses are streams (`UpsertDocuments`)."""
        return self.method.endswith("UpsertDocuments")


def same(request: ProtoMessage) -> Payload:
    """The same bytes each time."""
    encoded = bytes(request.SerializeToString())
    return lambda _: encoded
