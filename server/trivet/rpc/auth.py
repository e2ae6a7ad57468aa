"""Who calls: bearer keys, compared in constant time against SHA-256 hashes."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from trivet.errors import PermissionDenied, Unauthenticated
from trivet.excerpt import quote
from trivet.rpc.messages.bounds import METADATA
from trivet.types.request import PUBLIC_TENANT, Caller, KeyRole


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """One key of the configuration: the hash of the secret, whose it is, what it may do, what it is called.

    `tester`: may choose the variant that answers, as operators may. `routes`: those that it may call, None for all.
    """

    sha256: str
    tenant: str
    role: KeyRole
    name: str = ""
    tester: bool = False
    routes: frozenset[str] | None = None


def require_route(caller: Caller, route: str) -> None:
    """Raise PermissionDenied if the caller's key is not for a route, whether or not there is one of that name."""
    if not caller.may_call(route):
        raise PermissionDenied(f"this key may not call route {quote(route)}")


class Authenticator:
    """Turns the `authorization` metadata into a caller. Without any key, everybody is the tenant `public`."""

    def __init__(self, keys: Sequence[KeyEntry]) -> None:
        self.replace(keys)

    def replace(self, keys: Sequence[KeyEntry]) -> None:
        """From the next call on these are known, and no others; calls under way go on."""
        self._keys = tuple(
            (bytes.fromhex(key.sha256), Caller(key.tenant, key.role, key.name, key.tester, key.routes)) for key in keys
        )

    def authenticate(self, authorization: str | None) -> Caller:
        """Raises Unauthenticated if keys are configured and this is none of them."""
        if not self._keys:
            return Caller(PUBLIC_TENANT, KeyRole.OPERATOR)
        if authorization is None:
            raise Unauthenticated("no credential: expected metadata `authorization: Bearer <key>`")
        if len(authorization) > METADATA["authorization"]:
            raise Unauthenticated(
                f"expected at most {METADATA['authorization']:,} characters of authorization metadata"
            )
        scheme, _, secret = authorization.partition(" ")
        if scheme.lower() != "bearer" or not secret:
            raise Unauthenticated("the authorization metadata is not of the form `Bearer <key>`")
        digest = hashlib.sha256(secret.strip().encode()).digest()
        found: Caller | None = None
        for expected, caller in self._keys:  # all of them, so that the time tells nothing
            if hmac.compare_digest(expected, digest):
                found = caller
        if found is None:
            raise Unauthenticated("this key is not known")
        return found

    def require_operator(self, authorization: str | None) -> Caller:
        """The same, and PermissionDenied unless the key is an operator's."""
        caller = self.authenticate(authorization)
        if caller.role is not KeyRole.OPERATOR:
            raise PermissionDenied("this call needs an operator key; this key's role is client")
        return caller
