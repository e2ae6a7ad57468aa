"""Facts: an entity, a relation and a value, all drawn at random.

A relation is drawn apart from its entity because a good distractor is the same relation of another entity.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import words
from names import Split, name

Shape = Literal["attribute", "verb", "passive"]


@dataclass(frozen=True)
class Entity:
    """What a fact is about. `text` is the usual mention ("the Kelvora router"), `short` leaves out what it can."""

    text: str
    short: str

    @property
    def capitalised(self) -> str:
        return self.text[0].upper() + self.text[1:]


@dataclass(frozen=True)
class Relation:
    """What can be asked of an entity: "battery life" (attribute), "ships from" (verb), "built in" (passive)."""

    shape: Shape
    key: str
    bare: str  # verbs: "ship from"; passives: the question with {e}
    question_word: str
    kind: str  # kind of value
    unit: str = ""


@dataclass(frozen=True)
class Fact:
    entity: Entity
    relation: Relation
    value: str


def entity(rng: random.Random, split: Split) -> Entity:
    base = name(rng, split)
    roll = rng.random()
    if roll < 0.3:
        return Entity(base, base)
    if roll < 0.5:
        kind = rng.choice(words.KINDS)
        return Entity(f"the {base} {kind}", rng.choice((base, f"{base} {kind}", f"the {base}")))
    return variant_of(base, rng, split)


def variant_of(base: str, rng: random.Random, split: Split) -> Entity:
    """A member of a family that shares its first name: only the rest tells it from its siblings."""
    roll = rng.random()
    if roll < 0.4:
        full = f"{base} {rng.choice(words.SUFFIXES)}"
    elif roll < 0.6:
        full = f"{base} {name(rng, split)}"
    elif roll < 0.75:
        full = f"{base} {rng.randint(2, 99)}"
    elif roll < 0.85:
        full = f"{base} {rng.choice(words.SUFFIXES)} {rng.randint(2, 9)}"
    elif roll < 0.93:
        full = f"{base} {rng.choice('ABCDEFGKLMPRSTVXZ')}{rng.randint(1, 99)}"
    else:
        full = f"{base} {rng.choice(words.KINDS)}"
    if rng.random() < 0.35:
        return Entity(f"the {full}", full)
    return Entity(full, full)


def sibling(of: Entity, rng: random.Random, split: Split) -> Entity:
    """Another entity, one time in four of the same family."""
    base = of.text.split()[0] if of.text == of.short and of.text[0].isupper() else ""
    while True:
        other = variant_of(base, rng, split) if base and rng.random() < 0.25 else entity(rng, split)
        apart = other.text not in of.text and of.text not in other.text
        if apart and other.short != of.short:
            return other


def relation(rng: random.Random) -> Relation:
    roll = rng.random()
    if roll < 0.40:
        noun = rng.choice(list(words.NUMERIC))
        adjective = f"{rng.choice(words.ADJECTIVES)} " if rng.random() < 0.45 else ""
        return Relation("attribute", adjective + noun, "", "What", "unit", rng.choice(words.NUMERIC[noun]))
    if roll < 0.62:
        key = rng.choice(list(words.NAMED))
        return Relation("attribute", key, "", "What", rng.choice(words.NAMED[key]))
    if roll < 0.80:
        return _open_relation(rng)
    if roll < 0.92:
        key, bare, question_word, kind = rng.choice(words.VERBS)
        return Relation("verb", key, bare, question_word, kind)
    key, question, kind = rng.choice(words.PASSIVES)
    return Relation("passive", key, question, "", kind)


def _open_relation(rng: random.Random) -> Relation:
    """An attribute of one to three random nouns: new nearly every time."""
    key = " ".join(rng.sample(words.NOUNS, rng.choice((1, 2, 2, 2, 3))))
    kind = rng.choice(("unit", "unit", "name", "code", "word", "number"))
    return Relation("attribute", key, "", "What", kind, rng.choice(rng.choice(list(words.NUMERIC.values()))))


def number(rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.4:
        return str(rng.randint(2, 99))
    if roll < 0.65:
        return str(rng.choice((5, 10, 12, 15, 20, 24, 25, 30, 48, 60, 90, 120, 150, 250, 500, 1000, 2000)))
    if roll < 0.85:
        return str(rng.randint(100, 999))
    if roll < 0.92:
        return f"{rng.randint(0, 99)}.{rng.randint(1, 99)}"
    return str(rng.randint(1000, 9999))


def _with_unit(rng: random.Random, unit: str) -> str:
    amount = number(rng)
    if "{}" in unit:
        return unit.replace("{}", amount)
    return f"{amount} {unit}".strip()


def _code(rng: random.Random) -> str:
    letters = "".join(rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=rng.randint(1, 3)))
    digits = "".join(rng.choices("0123456789", k=rng.randint(1, 4)))
    dashed = f"{letters}-{digits}"
    return rng.choice((letters + digits, dashed, digits + letters, f"{dashed}-{letters[0]}"))


def _version(rng: random.Random) -> str:
    patch = f".{rng.randint(0, 9)}" if rng.random() < 0.4 else ""
    return f"{rng.randint(1, 29)}.{rng.randint(0, 99)}{patch}"


def _word(rng: random.Random) -> str:
    if rng.random() < 0.7:
        return rng.choice(words.VALUES)
    return " ".join(rng.sample(words.NOUNS, rng.randint(1, 2)))


def _date(rng: random.Random) -> str:
    year = f" {rng.randint(2019, 2031)}" if rng.random() < 0.5 else ""
    return f"{rng.randint(1, 31)} {rng.choice(words.MONTHS)}{year}"


def _time(rng: random.Random) -> str:
    hour = rng.randint(1, 12)
    return rng.choice((f"{rng.randint(0, 23)}:{rng.randint(0, 59):02d}", f"{hour} am", f"{hour} pm"))


def _day(rng: random.Random) -> str:
    return rng.choice(words.DAYS) if rng.random() < 0.7 else f"day {rng.randint(1, 28)}"


_DURATIONS = ("seconds", "minutes", "hours", "days", "weeks", "months", "years")
_KINDS: dict[str, Callable[[random.Random], str]] = {
    "money": lambda rng: _with_unit(rng, rng.choice(words.NUMERIC["price"])),
    "mass": lambda rng: _with_unit(rng, rng.choice(words.NUMERIC["weight"])),
    "duration": lambda rng: _with_unit(rng, rng.choice(_DURATIONS)),
    "code": _code,
    "number": number,
    "version": _version,
    "word": _word,
    "day": _day,
    "date": _date,
    "time": _time,
}


def value(rng: random.Random, of: Relation, split: Split) -> str:
    """A fresh value of the relation's kind."""
    if of.kind == "unit":
        return _with_unit(rng, of.unit)
    if of.kind == "name":
        return _name_value(rng, split)
    return _KINDS[of.kind](rng)


def _name_value(rng: random.Random, split: Split) -> str:
    first = name(rng, split)
    roll = rng.random()
    if roll < 0.6:
        return first
    if roll < 0.8:
        return f"{first} {name(rng, split)}"
    if roll < 0.9:
        return f"{first} {rng.choice(words.SUFFIXES)}"
    if roll < 0.95:
        return f"the {first} {rng.choice(words.KINDS)}"
    return f"{first} {rng.randint(2, 99)}"


def fact(rng: random.Random, split: Split, about: Entity | None = None, what: Relation | None = None) -> Fact:
    chosen = what or relation(rng)
    return Fact(about or entity(rng, split), chosen, value(rng, chosen, split))
