"""How much of each field of the contract's requests is taken: one table, checked before a message is looked into.

The numbers stand in the contract's comments too; a test compares them, and finds fields that have none. Protocol
Buffers themselves know no bounds, and a message may be as large as `server.max_message_bytes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from trivet.errors import Problems
from trivet.excerpt import shortened
from trivet.types.metadata.where import MAX_BYTES
from trivet.types.passage import MOST_TEXTS

PACKAGE = "trivet.api.v1"
DEEPEST = 100  # messages in one another, as the parser of Protocol Buffers has it
OPAQUE = {Struct.DESCRIPTOR.full_name}  # bounded as a whole, not looked into


@dataclass(frozen=True, slots=True)
class Bound:
    """`size`: characters of a text, bytes of anything else; of each of them in a list or a map. `items`: of a list or a
    map. `key`: characters of a map's key.

    A `size` of None is for what may fill its message: `server.max_message_bytes` bounds it, and whoever works on it
    knows better (a model's context, an index's `max_document_bytes`).
    """

    size: int | None = None
    items: int | None = None
    key: int | None = None


NAME = Bound(128)  # names of the configuration have at most 63 characters, name@version 127
REQUEST_ID = Bound(128)
UNIT = Bound(256)
TAGS = Bound(128, items=32)
FILTER = Bound(128, items=16)  # the engine takes four times as long for twice as many
WHERE = Bound(MAX_BYTES)
REASON = Bound(1024)

BOUNDS: Mapping[str, Bound] = {
    "Message.role": Bound(16),
    "Message.content": Bound(),
    "Message.reasoning": Bound(65_536),
    "Message.tool_calls": Bound(items=16),
    "Message.tool_call_id": NAME,
    "Message.name": NAME,
    "Tool.name": NAME,
    "Tool.description": Bound(4096),
    "Tool.parameters": Bound(16_384),
    "ToolCall.id": NAME,
    "ToolCall.name": NAME,
    "ToolCall.arguments": Bound(16_384),
    "RetrievalOptions.filter": FILTER,
    "RetrievalOptions.where": WHERE,
    "GenerateRequest.route": NAME,
    "GenerateRequest.messages": Bound(items=256),
    "GenerateRequest.variables": Bound(65_536, items=64, key=128),
    "GenerateRequest.unit_id": UNIT,
    "GenerateRequest.json_schema": Bound(65_536),
    "GenerateRequest.stop": Bound(256, items=16),
    "GenerateRequest.labels": Bound(256, items=8, key=256),
    "GenerateRequest.tools": Bound(items=64),
    "GenerateRequest.tool_name": NAME,
    "GenerateRequest.adapter": NAME,
    "GenerateRequest.template_variables": Bound(4096),
    "GenerateRequest.prompt": Bound(),
    "RetrieveRequest.route": NAME,
    "RetrieveRequest.text": Bound(8192),
    "RetrieveRequest.unit_id": UNIT,
    "RetrieveRequest.filter": FILTER,
    "RetrieveRequest.index": NAME,
    "RetrieveRequest.where": WHERE,
    "RetrieveRequest.more_texts": Bound(8192, items=MOST_TEXTS - 1),
    "SubmitFeedbackRequest.request_id": REQUEST_ID,
    "SubmitFeedbackRequest.comment": Bound(4096),
    "SubmitFeedbackRequest.label": NAME,
    "SubmitFeedbackRequest.corrected_text": Bound(65_536),
    "GetReceiptRequest.request_id": REQUEST_ID,
    "LoadAdapterRequest.name": NAME,
    "UnloadAdapterRequest.name": NAME,
    "Document.id": Bound(255),
    "Document.title": Bound(512),
    "Document.content": Bound(),
    "Document.source": Bound(4096),
    "Document.tags": Bound(128, items=64),
    "Document.tenant": NAME,
    "Document.fields": Bound(16_384),
    "UpsertDocumentsRequest.index": NAME,
    "UpsertDocumentsRequest.content": Bound(),
    "DeleteDocumentsRequest.index": NAME,
    "DeleteDocumentsRequest.ids": Bound(255, items=1000),
    "DeleteDocumentsRequest.tenant": NAME,
    "BuildIndexRequest.index": NAME,
    "RollbackIndexRequest.index": NAME,
    "RollbackIndexRequest.snapshot": NAME,
    "RollbackIndexRequest.reason": REASON,
    "ExplainSearchRequest.index": NAME,
    "ExplainSearchRequest.text": Bound(8192),
    "ExplainSearchRequest.tenant": NAME,
    "ExplainSearchRequest.filter": FILTER,
    "ExplainSearchRequest.where": WHERE,
    "ListDocumentsRequest.index": NAME,
    "GetRolloutRequest.route": NAME,
    "ListRolloutsRequest.route": NAME,
    "ListRolloutTransitionsRequest.route": NAME,
    "ReadRolloutObservationsRequest.rollout": NAME,
    "RolloutChange.route": NAME,
    "RolloutChange.reason": REASON,
    "RolloutChange.actor": NAME,
    "WatchRolloutRequest.route": NAME,
    "DrainEngineNodeRequest.address": Bound(255),
    "InteractionFilter.routes": Bound(128, items=64),
    "InteractionFilter.variants": Bound(128, items=64),
    "EraseInteractionsRequest.unit_ids": Bound(256, items=1000),
    "EraseInteractionsRequest.request_ids": Bound(128, items=1000),
}

METADATA: Mapping[str, int] = {
    "authorization": 4096,
    "x-request-id": REQUEST_ID.size or 0,
    "x-trivet-priority": 1,
    "x-trivet-variant": NAME.size or 0,
    "traceparent": 128,
}
"""Characters of the metadata that is read. What is longer is no key, no request id, no priority, no variant and no
trace."""


def check_bounds(message: Message, besides: str = "") -> None:
    """Raise InvalidRequest for every field that is out of its bound; the field `besides` is not looked at.

    Counts come first, and a list that is too long is not looked into, so the work does not grow with what is refused.
    """
    problems = Problems()
    _check(message, "", problems, besides)
    problems.refuse()


class _Bounded(NamedTuple):
    """A field that can be large. `inner`: it holds messages of the contract, which are looked into."""

    name: str
    bound: Bound | None
    repeated: bool
    inner: bool


@cache  # as many as the contract has message types
def _bounded_fields(descriptor: Descriptor) -> tuple[_Bounded, ...]:
    """The fields that can be large, and those that hold messages."""
    owner = descriptor.full_name.removeprefix(f"{PACKAGE}.")
    return tuple(
        _Bounded(field.name, BOUNDS.get(f"{owner}.{field.name}"), field.is_repeated, _inner(field) is not None)
        for field in descriptor.fields
        if is_large(field) or _inner(field) is not None
    )


def is_large(field: FieldDescriptor) -> bool:
    """Whether a field's size is the client's choice: texts, bytes, lists, maps, free-form structures."""
    opaque = field.message_type is not None and field.message_type.full_name in OPAQUE
    return field.is_repeated or field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES) or opaque


def _inner(field: FieldDescriptor) -> Descriptor | None:
    """The contract's own message type that a field holds, if it does."""
    inner = field.message_type
    if inner is None or inner.GetOptions().map_entry or not inner.full_name.startswith(f"{PACKAGE}."):
        return None
    return inner


def _check(message: Message, path: str, problems: Problems, besides: str = "") -> None:
    for name, bound, repeated, inner in _bounded_fields(message.DESCRIPTOR):
        if name == besides:
            continue
        if repeated:
            items = getattr(message, name)
            if items:
                _check_items(items, inner, bound or Bound(items=0), f"{path}{name}", problems)
        elif inner:
            if message.HasField(name):
                _check(getattr(message, name), f"{path}{name}.", problems)
        elif bound is not None and bound.size is not None:
            _check_size(getattr(message, name), bound.size, f"{path}{name}", problems)


def _check_items(items: Any, inner: bool, bound: Bound, at: str, problems: Problems) -> None:
    if bound.items is None or len(items) > bound.items:
        problems.add(at, f"expected at most {bound.items or 0:,}, got {len(items):,}")
    elif inner:
        for position, item in enumerate(items):
            _check(item, f"{at}[{position}].", problems)
    elif bound.key is not None:
        for name in items:
            _check_size(name, bound.key, f"{at}.{shortened(name, 64)}", problems, "in its name, ")
            if bound.size is not None:
                _check_size(items[name], bound.size, f"{at}.{shortened(name, 64)}", problems)
    elif bound.size is not None:
        for position, item in enumerate(items):
            _check_size(item, bound.size, f"{at}[{position}]", problems)


def _check_size(value: Any, most: int, at: str, problems: Problems, where: str = "") -> None:
    unit = "characters" if isinstance(value, str) else "bytes"
    size = value.ByteSize() if isinstance(value, Message) else len(value)
    if size > most:
        problems.add(at, f"{where}expected at most {most:,} {unit}, got {size:,}")
