"""What lies in the store: readable with its key alone, and never larger than what was put in by much."""

from __future__ import annotations

import base64
import zlib
from dataclasses import replace

import pytest

from trivet.errors import FailedPrecondition
from trivet.interactions.sealing import Sealer, read_keys
from trivet.types.interaction import Interaction

OLD, NEW = b"o" * 32, b"n" * 32
ONE = Interaction(
    tenant="acme",
    request_id="r1",
    route="support",
    variant="stable",
    unit="",
    messages=({"role": "user", "content": "Wie heißt das? 🦜"},),
    answer="Papagei",
    variables={"tone": "kind"},
    tool_calls=({"name": "f", "arguments": '{"a": 1}'},),
    receipt={"request_id": "r1", "cost": {"total": 5}},
)


@pytest.mark.parametrize("keys", [(), (NEW,), (NEW, OLD)])
def test_what_is_sealed_is_opened_again(keys: tuple[bytes, ...]) -> None:
    assert Sealer(keys).open(Sealer(keys).seal(ONE)) == ONE


def test_an_encrypted_one_shows_nothing_and_needs_its_key() -> None:
    sealed = Sealer([OLD]).seal(ONE)
    plain = Sealer().seal(ONE)
    assert b"Papagei" in zlib.decompress(plain.data[1:])
    with pytest.raises(zlib.error):
        zlib.decompress(base64.urlsafe_b64decode(sealed.data[1:]))
    assert Sealer([NEW, OLD]).open(sealed) == ONE
    assert Sealer([NEW]).open(plain) == ONE
    with pytest.raises(FailedPrecondition, match=r"expected its key in interactions\.key_file"):
        Sealer().open(sealed)
    with pytest.raises(FailedPrecondition, match=r"a key that interactions\.key_file does not have"):
        Sealer([NEW]).open(sealed)


@pytest.mark.parametrize("data", [b"", b"p", b"pxxxx", b"p" + zlib.compress(b"[]"), b"p" + zlib.compress(b"{}"), b"z"])
def test_a_damaged_one_is_told_by_its_request(data: bytes) -> None:
    with pytest.raises(FailedPrecondition, match="interaction r1 is damaged"):
        Sealer().open(replace(Sealer().seal(ONE), data=data))


def test_a_unit_is_found_again_under_every_key_and_cannot_be_told_from_its_digest() -> None:
    old, both = Sealer([OLD]), Sealer([NEW, OLD])
    assert old.unit("acme", "u1") in both.units("acme", "u1")
    assert both.unit("acme", "u1") not in old.units("acme", "u1")
    assert old.unit("acme", "u1") != old.unit("other", "u1") != Sealer().unit("acme", "u1")
    assert old.unit("acme", "") == ""
    assert Sealer().unit("acme", "u1") in both.units("acme", "u1"), "stored before there was a key"


def test_keys_are_read_from_a_file() -> None:
    standard = base64.b64encode(bytes(range(200, 232))).decode()
    url = base64.urlsafe_b64encode(bytes(range(200, 232))).decode()
    assert standard != url
    assert read_keys(f"# new\n{standard}\n\n{url} # old\n") == (bytes(range(200, 232)),) * 2
    for wrong in ("short", base64.b64encode(b"x" * 31).decode(), "ä"):
        with pytest.raises(FailedPrecondition, match="line 2 is no key") as error:
            read_keys(f"{standard}\n{wrong}")
        assert wrong not in str(error.value)
    with pytest.raises(FailedPrecondition, match="there is no key"):
        read_keys("# none\n")
