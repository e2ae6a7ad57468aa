"""Messages as they come off the wire: one that cannot be read is refused by its call, like any other mistake.

gRPC answers a deserializer that raises with UNKNOWN, and a message above `grpc.max_receive_message_length` with
RESOURCE_EXHAUSTED, both without details: a client could not tell the first from a bug, nor the second from overload,
and would retry it. So a deserializer here never raises, and gRPC's own limit lies above ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message

from trivet.errors import InvalidRequest, MalformedMessage, MessageTooLarge, TrivetError
from trivet.rpc.messages.bounds import check_bounds
from trivet.rpc.messages.crowded import crowded_field

_MARGIN = 64 << 10
_LARGE = 256 << 10  # bytes: fewer, all of them empty values, are read, held against their bounds and freed in 5 ms


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands for a message that could not be read."""

    error: TrivetError


def check_message(message: Message | Unreadable, besides: str = "") -> None:
    """Raise what kept it from being read, or InvalidRequest for the fields, but `besides`, that are out of bounds."""
    if isinstance(message, Unreadable):
        raise message.error
    check_bounds(message, besides)


def accepted_bytes(max_message_bytes: int) -> int:
    """gRPC's own limit: a quarter above ours, so that what is a little too large is told so in full."""
    return max_message_bytes + max(max_message_bytes // 4, _MARGIN)


def add_service(
    server: grpc.aio.Server, add: Callable[[Any, Any], None], servicer: Any, max_message_bytes: int
) -> None:
    """Serve a generated service; its handlers get Unreadable for what could not be read. `add` is the generated
    `add_<Service>Servicer_to_server`."""
    add(servicer, _Registration(server, max_message_bytes))


class _Registration:
    """What a generated `add_..._to_server` sees as the server."""

    def __init__(self, server: grpc.aio.Server, max_message_bytes: int) -> None:
        self._server = server
        self._limit = max_message_bytes

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """They come by name too, see below."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Register them with other deserializers."""
        lenient = {
            name: handler._replace(request_deserializer=_deserializer(handler.request_deserializer, self._limit))
            for name, handler in handlers.items()
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, lenient),))


def _deserializer(parse: Callable[[bytes], Message], limit: int) -> Callable[[bytes], Message | Unreadable]:
    descriptor = parse.__self__.DESCRIPTOR  # type: ignore[attr-defined]  # of the message class that it is a method of

    def read(data: bytes) -> Message | Unreadable:
        if len(data) > limit:
            return Unreadable(MessageTooLarge(len(data), limit))
        if len(data) > _LARGE and (crowded := crowded_field(data, descriptor)) is not None:
            return Unreadable(InvalidRequest({crowded.field: crowded.told}))
        try:
            return parse(data)
        except (DecodeError, UnicodeDecodeError):
            return Unreadable(MalformedMessage("the bytes are no message of the method's request type, or not UTF-8"))

    return read
