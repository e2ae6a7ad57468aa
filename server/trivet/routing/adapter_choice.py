"""Which adapter a request is to be answered with. The allow-list decides: a request can only choose within it."""

from __future__ import annotations

from collections.abc import Mapping

from trivet.errors import InvalidRequest, PermissionDenied
from trivet.excerpt import quote
from trivet.types.text.adapter_pattern import AdapterPattern
from trivet.types.variant import AdapterBy, AdapterChoice, AdapterFallback, VersionRef


def adapter_candidates(
    choice: AdapterChoice, *, tenant: str, named: str = "", labels: Mapping[str, str]
) -> tuple[VersionRef, ...]:
    """The adapters that answer, the first of them that exists; none for the base model.

    `named`: by the request. Raises InvalidRequest for what is no name, or for a request that has to say which and does
    not, and PermissionDenied for an adapter that is not the tenant's: with the same words whether or not it exists.
    """
    if choice.by is AdapterBy.REQUEST:
        return _named(choice, tenant, named)
    label = ""
    if choice.by is AdapterBy.LABEL:
        label = labels.get(choice.label, "")
        field = f"labels.{choice.label}"
        if not label:
            return _none(choice, field, f"is missing: its value says which adapter answers (label {choice.label!r})")
        if not AdapterPattern.is_legal("a", label):
            raise InvalidRequest({field: f"{quote(label)} is no part of an adapter's name"})
    found = [pattern.exact(tenant, label) for pattern in choice.patterns]
    return tuple(dict.fromkeys(VersionRef(*one) for one in found if one is not None))


def _named(choice: AdapterChoice, tenant: str, named: str) -> tuple[VersionRef, ...]:
    if not named:
        return _none(choice, "adapter", "is missing, expected name@version of one of the caller's adapters")
    name, _, version = named.partition("@")
    if not AdapterPattern.is_legal(name, version):
        raise InvalidRequest({"adapter": f"{quote(named)} is not of the form name@version"})
    ref = VersionRef(name, version)
    if not choice.allows(tenant, ref):
        raise PermissionDenied(f"adapter {ref} is not one that this caller may use on this route")
    return (ref,)


def _none(choice: AdapterChoice, field: str, problem: str) -> tuple[VersionRef, ...]:
    if choice.fallback is AdapterFallback.REFUSE:
        raise InvalidRequest({field: problem})
    return ()
