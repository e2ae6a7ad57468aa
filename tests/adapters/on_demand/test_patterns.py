"""The allow-list: whatever a request names, it gets an adapter of its own tenant or none."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.errors import InvalidRequest, PermissionDenied
from trivet.routing.adapter_choice import adapter_candidates
from trivet.types.text.adapter_pattern import AdapterPattern, shared_between
from trivet.types.variant import AdapterBy, AdapterChoice, AdapterFallback, VersionRef

TENANTS = ("acme", "acme-x", "acme.corp", "a", "globex", "shared")
OWN = "{tenant}@*"

names = st.from_regex(re.compile(r"[a-z0-9][a-z0-9._-]{0,12}"), fullmatch=True)
versions = st.from_regex(re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}"), fullmatch=True)
tenants = st.sampled_from(TENANTS) | names
literal = st.text("ab-.1", min_size=1, max_size=3)
pieces = st.sampled_from(["{tenant}", "*", "{tenant}-*", "*-{tenant}", "{tenant}", "x*", "a*", "{tenant}*"]) | literal
patterns = st.tuples(pieces, pieces).map("@".join)


def choice(*texts: str, by: AdapterBy = AdapterBy.REQUEST, fallback: str = "refuse", label: str = "") -> AdapterChoice:
    return AdapterChoice(by, tuple(map(AdapterPattern.parse, texts)), AdapterFallback(fallback), label)


def asked(found: AdapterChoice, tenant: str, named: str = "", **labels: str) -> tuple[VersionRef, ...]:
    return adapter_candidates(found, tenant=tenant, named=named, labels=labels)


@given(tenant=tenants, named=st.text(max_size=80) | st.tuples(names, versions).map("@".join))
def test_a_request_gets_only_what_carries_its_tenants_name(tenant: str, named: str) -> None:
    try:
        found = asked(choice(OWN), tenant, named)
    except (InvalidRequest, PermissionDenied):
        return
    (ref,) = found
    assert ref.name == tenant
    assert str(ref) == named
    assert AdapterPattern.is_legal(ref.name, ref.version)


HOSTILE = (
    "../acme@1", "acme/../globex@1", "acme@../../etc", "acme@1/../2", "/etc/passwd@1", "acme@..", "..@1", "acme\x00@1",
    "acme@1\n", "acme@1 ", " acme@1", "Acme@1", "ACME@1", "аcme@1", "acme\u200b@1", "ａcme@1", "acmé@1", "acme@１",
    "acme@@1", "acme@1@2", "acme", "@1", "acme@", "*@*", "{tenant}@1", "acme@*", "globex@1", "acme-x@1", "acm@1",
    "acme%2f@1", "acme\\..@1", "s3://acme@1", "acme@" + "1" * 64, "a" * 64 + "@1",
)  # fmt: skip


@pytest.mark.parametrize("named", HOSTILE)
def test_what_is_no_name_or_another_ones_is_refused(named: str) -> None:
    with pytest.raises((InvalidRequest, PermissionDenied)):
        asked(choice(OWN), "acme", named)


@pytest.mark.parametrize("named", ["globex@1", "acme-x@1"])
def test_the_refusal_does_not_tell_whether_there_is_such_an_adapter(named: str) -> None:
    with pytest.raises(PermissionDenied, match="is not one that this caller may use on this route"):
        asked(choice(OWN), "acme", named)


@given(
    texts=st.lists(patterns, min_size=1, max_size=3), owners=st.sets(tenants, min_size=2, max_size=4), data=st.data()
)
def test_patterns_that_the_start_accepts_let_no_two_tenants_share(
    texts: list[str], owners: set[str], data: st.DataObject
) -> None:
    try:
        found = choice(*texts)
    except ValueError:
        return
    if shared_between(found.patterns, owners) is not None:
        return
    pieces = st.sampled_from([*owners, "a", "x", "-", "1", "."])
    name = "".join(data.draw(st.lists(pieces, min_size=1, max_size=4)))
    version = "".join(data.draw(st.lists(pieces, min_size=1, max_size=4)))
    users = [
        owner
        for owner in owners
        if any(p.has("{tenant}") and p.bind(owner).fits(name, version) for p in found.patterns)
    ]
    assert len(users) <= 1
    if any(not p.has("{tenant}") and p.bind("").fits(name, version) for p in found.patterns):
        assert not users


@pytest.mark.parametrize(
    ("texts", "owners", "shared"),
    [
        (["{tenant}-*@1"], ["acme", "acme-x"], True),
        (["{tenant}-*@1"], ["acme", "globex"], False),
        (["{tenant}@*"], ["acme", "acme-x"], False),
        (["{tenant}@*", "*@*"], ["acme"], True),
        (["{tenant}@*", "common@*"], ["acme", "common"], True),
        (["{tenant}@*", "common@*"], ["acme", "globex"], False),
        (["*-{tenant}@1"], ["x", "y-x"], True),
        (["tone@{tenant}", "tone@*"], ["acme"], True),
        (["{tenant}-{label}@1"], ["a", "a-b"], True),
        (["tone-{tenant}@{label}"], ["a", "a-b"], False),
        (["{tenant}@1", "{tenant}-x@1"], ["acme", "acme-x"], True),
    ],
)
def test_overlaps_are_found_at_the_start(texts: list[str], owners: list[str], shared: bool) -> None:
    assert (shared_between(map(AdapterPattern.parse, texts), owners) is not None) is shared


def test_thousands_of_tenants_are_compared_at_once() -> None:
    owners = [f"tenant-{number}" for number in range(5000)]  # tenant-1 is the beginning of tenant-10
    assert shared_between([AdapterPattern.parse("{tenant}@*")], owners) is None
    assert shared_between([AdapterPattern.parse("{tenant}-*@1")], owners) is None
    assert shared_between([AdapterPattern.parse("{tenant}*@1")], owners) is not None


@pytest.mark.parametrize(
    "text", ["", "tone", "tone@", "@1", "Tone@1", "a/b@1", "{tenant}{tenant}@1", "*-*@1", "{user}@1", "a b@1", "tön@1"]
)
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        AdapterPattern.parse(text)


def test_by_tenant_the_candidates_come_in_the_patterns_order() -> None:
    found = choice("{tenant}@2", "{tenant}@1", "common@1", by=AdapterBy.TENANT)
    assert [str(ref) for ref in asked(found, "acme", "globex@1")] == ["acme@2", "acme@1", "common@1"]


def test_by_label_the_value_is_a_part_of_the_name_and_nothing_else() -> None:
    found = choice("{tenant}@{label}", by=AdapterBy.LABEL, label="style")
    assert [str(ref) for ref in asked(found, "acme", style="brief")] == ["acme@brief"]
    with pytest.raises(InvalidRequest, match=r"labels\.style"):
        asked(found, "acme", tone="brief")
    for value in ("../x", "1/../../globex/1", "*", "{tenant}", "x y", "é", "x" * 64):
        with pytest.raises(InvalidRequest, match="is no part of an adapter's name"):
            asked(found, "acme", style=value)


def test_who_names_none_gets_the_base_or_is_refused() -> None:
    assert asked(choice(OWN, fallback="base"), "acme") == ()
    with pytest.raises(InvalidRequest, match="adapter"):
        asked(choice(OWN), "acme")


@given(name=names, version=versions, tenant=tenants)
def test_what_an_operator_sees_of_a_route_covers_what_tenants_may_use(name: str, version: str, tenant: str) -> None:
    found, ref = choice(OWN, "x-{tenant}@*", "common@1"), VersionRef(name, version)
    assert found.may_name(ref) or not found.allows(tenant, ref)
