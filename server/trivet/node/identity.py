"""What a node is, whatever it is doing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """`instance`: new with each start of the process. Digests are hexadecimal; `adapters` places of which
    `adapters_at_once` take part in one step of the engine, both 0 where it takes none. `max_message_bytes`: the most
    that one message to it has."""

    name: str
    instance: str
    model_digest: str
    tokenizer_digest: str
    max_requests: int
    adapters_at_once: int
    adapters: int
    max_rank: int
    engine_version: str
    trivet_version: str
    max_message_bytes: int
