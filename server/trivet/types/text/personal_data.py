"""What identifies a person in a text: e-mail addresses, card numbers, phone numbers. Linear in the text's length."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])")
_DIGITS = re.compile(r"(?<![\w.])\d(?:[ -]?\d){12,18}(?![\w.]?\d)")
# With a country's code, in the form of North America, or behind a word that says so. Other digits may be anything.
_PHONE = re.compile(
    r"(?<![\w+])(?:\+|00)[1-9](?:[ ./()-]{0,2}\d){6,14}(?!\d)"
    r"|(?<![\w.-])\(?[2-9]\d{2}\)?[ .-][2-9]\d{2}[ .-]\d{4}(?![\w-])"
    r"|(?i:\b(?:tel|phone|telephone|mobile|fax|call)\b[.: ]{1,3})(?P<number>\d(?:[ ./()-]{0,2}\d){5,14})(?!\d)"
)


@dataclass(frozen=True, slots=True)
class PersonalData:
    """Characters `start` to `end` of a text. `kind`: `email`, `card` or `phone`."""

    kind: str
    start: int
    end: int


def find_personal_data(text: str) -> Iterator[PersonalData]:
    """What can be told by its form, in no order; a card number by its check digit too (ISO/IEC 7812-1)."""
    for found in _EMAIL.finditer(text):
        yield PersonalData("email", *found.span())
    cards = [found for found in _DIGITS.finditer(text) if _has_check_digit(found[0])]
    for found in cards:
        yield PersonalData("card", *found.span())
    for found in _PHONE.finditer(text):
        start, end = found.span("number") if found["number"] else found.span()
        if not any(card.start() < end and start < card.end() for card in cards):
            yield PersonalData("phone", start, end)


def _has_check_digit(written: str) -> bool:
    """Luhn's sum: each second digit from the right doubled, with the digits of what has two added."""
    digits = [int(character) for character in written if character.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return len(set(digits)) > 1 and (sum(doubled) + sum(digits[-1::-2])) % 10 == 0
