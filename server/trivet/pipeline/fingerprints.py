"""Salted hashes of who asked and what was asked: receipts tell that two requests are alike without telling either."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from trivet.types.request import Message

_DIGITS = 16


def unit_hash(salt: str, unit: str) -> str:
    """16 hexadecimal digits, the same for a unit as long as the salt is."""
    return _hash("trivet.unit.1", [salt, unit])


def text_hash(salt: str, messages: Iterable[Message]) -> str:
    """16 hexadecimal digits of a whole conversation, roles included. Linear in its bytes."""
    return _hash("trivet.text.1", [salt, *(part for one in messages for part in (one.role, one.content))])


def _hash(domain: str, texts: Iterable[str]) -> str:
    """SHA-256 over the domain, then for each text the number of its UTF-8 bytes (8 bytes, big-endian) and those."""
    digest = hashlib.sha256(domain.encode())
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()[:_DIGITS]
