"""What is taken out of texts, what is left in them, and that the work is linear."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.errors import FailedPrecondition
from trivet.interactions.redaction import Redactor, load_hook
from trivet.types.text.personal_data import find_personal_data

ALL = ("email", "card", "phone")


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("Write to Jane.Doe+x@mail.example.co.uk, please.", "Write to [email], please."),
        ("4111 1111 1111 1111 or 5500-0000-0000-0004.", "[card] or [card]."),
        ("Call +49 (0)30 901820 today.", "Call [phone] today."),
        ("(212) 555-2368, phone: 030 901820", "[phone], phone: [phone]"),
        ("a@b.org b@c.org", "[email] [email]"),
        ("Order 4111 1111 1111 1112 of 2026-11-30, 12,345.67 euros, line 2024.", None),
        ("@channel, look at a@b and x@y.", None),
        ("192.168.1.10:8080, 10.2.3 and 1234567890123", None),
        ("", None),
    ],
)
def test_what_identifies_a_person_is_replaced_by_its_kind(text: str, redacted: str | None) -> None:
    assert Redactor(ALL).redact(text) == (text if redacted is None else redacted)


def test_only_the_chosen_kinds_are_taken_out_and_then_the_hook_has_its_turn() -> None:
    text = "a@b.org +49 30 901820"
    assert Redactor(()).redact(text) == text
    assert Redactor(["phone"], str.upper).redact(text) == "A@B.ORG [PHONE]"
    with pytest.raises(TypeError, match="gave int, expected a text"):
        Redactor([], lambda text: len(text)).redact(text)  # type: ignore[arg-type, return-value]


@given(st.text(alphabet="a1@.+ -()4", max_size=200))
def test_no_address_is_left_after_redaction(text: str) -> None:
    redactor = Redactor(ALL)
    once = redactor.redact(text)
    assert not any(found.kind == "email" for found in find_personal_data(once))


def test_a_hook_is_found_by_its_name_or_the_start_says_what_is_wrong() -> None:
    assert load_hook("os.path:basename")("a/b") == "b"
    for name in ("no_such_module:f", "os.path:nothing", "os:sep"):
        with pytest.raises(FailedPrecondition, match=f"the redaction hook {name}"):
            load_hook(name)
