"""Contents as they lie in the store: JSON, compressed, and encrypted where there is a key."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import zlib
from collections.abc import Sequence
from typing import Any

from trivet.errors import FailedPrecondition
from trivet.types.interaction import Interaction, SealedInteraction

_PLAIN, _ENCRYPTED = b"p", b"e"
_UNIT_DIGITS = 32
_MOST_BYTES = 16 << 20  # decompressed: more than any interaction that was stored has
KEY_BYTES = 32


class Sealer:
    """Seals with the first key and opens with any of them; without keys nothing is encrypted.

    Encryption is Fernet's (AES-128-CBC and HMAC-SHA256, https://github.com/fernet/spec), of `cryptography`.
    """

    def __init__(self, keys: Sequence[bytes] = ()) -> None:
        """`keys`: 32 bytes each, the newest first."""
        from cryptography.fernet import Fernet, MultiFernet  # here, because few servers keep interactions

        self._keys = tuple(keys)
        self._fernet = MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in keys]) if keys else None

    def unit(self, tenant: str, unit_id: str) -> str:
        """The digest by which a unit is found again; empty without a unit."""
        return self.units(tenant, unit_id)[0] if unit_id else ""

    def units(self, tenant: str, unit_id: str) -> tuple[str, ...]:
        """The unit's digests under every key, the newest first; one cannot be told from the other without the key.

        The last one is without a key: what was stored before there was a key has it.
        """
        text = f"{tenant}\0{unit_id}".encode()
        keys = [*(hashlib.sha256(b"unit" + key).digest() for key in self._keys), b"unit"]
        return tuple(hmac.new(key, text, hashlib.sha256).hexdigest()[:_UNIT_DIGITS] for key in keys)

    def seal(self, interaction: Interaction) -> SealedInteraction:
        """Everything but what is looked for goes into `data`."""
        contents = {
            "messages": interaction.messages,
            "answer": interaction.answer,
            "variables": dict(interaction.variables),
            "tool_calls": interaction.tool_calls,
            "receipt": dict(interaction.receipt),
        }
        packed = zlib.compress(json.dumps(contents, ensure_ascii=False, separators=(",", ":")).encode())
        data = _PLAIN + packed if self._fernet is None else _ENCRYPTED + self._fernet.encrypt(packed)
        clear = (interaction.tenant, interaction.request_id, interaction.route, interaction.variant, interaction.unit)
        return SealedInteraction(*clear, data)

    def open(self, sealed: SealedInteraction) -> Interaction:
        """Raises FailedPrecondition without the key that it was sealed with, and for what is damaged."""
        contents = self._contents(sealed)
        try:
            return Interaction(
                tenant=sealed.tenant,
                request_id=sealed.request_id,
                route=sealed.route,
                variant=sealed.variant,
                unit=sealed.unit,
                messages=tuple(contents["messages"]),
                answer=contents["answer"],
                variables=contents["variables"],
                tool_calls=tuple(contents["tool_calls"]),
                receipt=contents["receipt"],
            )
        except (KeyError, TypeError) as error:
            raise _damaged(sealed) from error

    def _contents(self, sealed: SealedInteraction) -> dict[str, Any]:
        from cryptography.fernet import InvalidToken

        kind, packed = sealed.data[:1], sealed.data[1:]
        if kind == _ENCRYPTED:
            if self._fernet is None:
                told = f"interaction {sealed.request_id} is encrypted, expected its key in interactions.key_file"
                raise FailedPrecondition(told)
            try:
                packed = self._fernet.decrypt(packed)
            except InvalidToken as error:
                told = (
                    f"interaction {sealed.request_id} was encrypted with a key that interactions.key_file does not have"
                )
                raise FailedPrecondition(told) from error
        try:
            unpacker = zlib.decompressobj()
            found = json.loads(unpacker.decompress(packed, _MOST_BYTES))
        except (zlib.error, ValueError, RecursionError) as error:
            raise _damaged(sealed) from error
        if not isinstance(found, dict):
            raise _damaged(sealed)
        return found


def read_keys(text: str) -> tuple[bytes, ...]:
    """The keys of a file: a line each, base64 of 32 bytes, the newest first; `#` begins a comment.

    Raises FailedPrecondition, naming the line and never the key.
    """
    keys = []
    for number, line in enumerate(text.splitlines(), start=1):
        written = line.partition("#")[0].strip()
        if not written:
            continue
        try:
            key = base64.b64decode(written.replace("-", "+").replace("_", "/"), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != KEY_BYTES:
            raise FailedPrecondition(
                f"line {number} is no key, expected base64 of {KEY_BYTES} bytes (openssl rand -base64 32)"
            )
        keys.append(key)
    if not keys:
        raise FailedPrecondition("there is no key, expected a line with base64 of 32 bytes (openssl rand -base64 32)")
    return tuple(keys)


def _damaged(sealed: SealedInteraction) -> FailedPrecondition:
    return FailedPrecondition(f"interaction {sealed.request_id} is damaged in the store, expected what was written")
