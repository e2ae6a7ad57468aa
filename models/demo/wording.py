"""How facts are written in passages, asked about and answered in a sentence.

The forms are listed in `wording.yaml`, drawn from the grammar in `grammar.yaml`, or put together by chance.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

import words
from facts import Entity, Fact, Shape
from grammar import expand
from names import Split, name

FORMS: dict[str, list[str]] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
ANSWERS: dict[Shape, str] = {
    "attribute": "The {a} of {e} is {v}.",
    "verb": "{E} {k} {v}.",
    "passive": "{E} is {k} {v}.",
}
UNKNOWN = "I do not know."

# The shares of statements and questions put together by chance, and from the grammar; the others are listed forms.
LOOSE, GRAMMAR = 0.12, 0.45
# Which forms: the first ones of each list, all of the training's, or those kept for the evaluation. A training from
# nothing begins with few: what to look for is learned before the many ways to say it.
PLAIN = 30
Wording = Literal["plain", "train", "held-out"]


def _article(text: str) -> str:
    """Repair "a" before a vowel, as people write it."""
    return re.sub(r"\b([aA]) (?=[aeio])", r"\1n ", text)


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]


def _fill(template: str, fact: Fact, mention: str) -> str:
    key = fact.relation.key
    possessive = f"{mention}'" if mention.endswith("s") else f"{mention}'s"
    fields = {
        "e": mention,
        "E": _upper(mention),
        "p": possessive,
        "P": _upper(possessive),
        "a": key,
        "A": _upper(key),
        "k": key,
        "b": fact.relation.bare,
        "q": fact.relation.question_word,
        "ql": fact.relation.question_word.lower(),
        "v": fact.value,
    }
    if template.startswith("Each {e}"):
        fields["e"] = mention.removeprefix("the ")
    text = template.format(**fields)
    return _article(text) if "a {a}" in template else text


def _forms(name: str, wording: Wording) -> list[str]:
    if wording == "held-out":
        return FORMS[f"{name}_held_out"]
    return FORMS[name] if wording == "train" else FORMS[name][:PLAIN]


def _lower(text: str) -> str:
    """The sentence as it goes on after other words; names keep their capital."""
    first, _, rest = text.partition(" ")
    return f"{first.lower()} {rest}" if first in ("The", "For", "With", "On", "If", "As", "In", "Each", "You") else text


def _surrounded(rng: random.Random, statement: str) -> str:
    """Other words before or after the statement, so that what is around a fact does not matter."""
    if rng.random() < 0.2:
        lead = rng.choice(FORMS["statement_leads"])
        if rng.random() < 0.25:
            lead = _upper(" ".join(rng.choice(words.OTHERS) for _ in range(rng.randint(1, 4))))
        statement = f"{lead}, {_lower(statement)}"
    if rng.random() < 0.15 and statement.endswith("."):
        statement = f"{statement[:-1]}, {rng.choice(FORMS['statement_tails'])}."
    return statement


def _spoken(rng: random.Random, question: str) -> str:
    """A question as people type it."""
    if rng.random() < 0.12:
        question = f"{rng.choice(FORMS['question_leads'])}{rng.choice((', ', ': ', '. ', '! '))}{question}"
    if rng.random() < 0.1 and question[-1] in "?.":
        question = f"{question[:-1]}{rng.choice((' ', ', '))}{rng.choice(FORMS['question_tails'])}{question[-1]}"
    return question


def _words(rng: random.Random, least: int, most: int) -> list[str]:
    return rng.choices(words.OTHERS, k=rng.randint(least, most))


def _loose_statement(rng: random.Random, shape: Shape) -> str:
    """A form put together by chance: which words stand around a fact, and in which order it is told, must not matter.

    At least one word stands between two parts, so that it shows where a name ends.
    """
    if shape != "attribute":
        return " ".join([*_words(rng, 0, 3), "{e}", *_words(rng, 0, 2), "{k} {v}", *_words(rng, 0, 4)]) + "."
    if rng.random() < 0.4:
        between = " ".join(_words(rng, 1, 3))
        return rng.choice((
            f"{{e}} {between} a {{a}} of {{v}}.", f"the {{a}} {between} {{e}} is {{v}}.",
            f"the {{a}} of {{e}} {between} {{v}}.", f"{{e}} {between} {{v}} as its {{a}}.",
            f"{between} the {{a}} of {{e}} is {{v}}.", f"{{v}} {between} the {{a}} of {{e}}.",
        ))  # fmt: skip
    parts = rng.sample(("{e}", "{a}", "{v}"), 3)
    first, second = (_words(rng, 1, 4) for _ in range(2))
    return " ".join([*_words(rng, 0, 3), parts[0], *first, parts[1], *second, parts[2], *_words(rng, 0, 3)]) + "."


def _loose_question(rng: random.Random, shape: Shape) -> str:
    """A question put together by chance; see `_loose_statement`."""
    lead, between, tail = _words(rng, 0, 4), _words(rng, 1, 3), _words(rng, 0, 2)
    mark = rng.choice(("?", "?", ".", ""))
    if shape == "verb":
        return " ".join([*lead, "{ql}", *_words(rng, 0, 1), "{e}", *_words(rng, 0, 2), "{b}", *tail]) + mark
    parts = rng.sample(("{e}", "{a}"), 2)
    return " ".join([*lead, parts[0], *between, parts[1], *tail]) + mark


def _bare(form: str) -> str:
    return re.sub(r"[^a-z{}]", "", form.lower())


_HELD_OUT = {_bare(form) for name, forms in FORMS.items() if name.endswith("_held_out") for form in forms}


def _from_grammar(rng: random.Random, rule: str) -> str:
    """A form of the grammar that is none of those kept for the evaluation."""
    while _bare(form := expand(rng, rule)) in _HELD_OUT:
        pass
    return form


def _kind(rng: random.Random, wording: Wording) -> Literal["listed", "grammar", "loose"]:
    """Where a form comes from."""
    if wording != "train":
        return "listed"
    roll = rng.random()
    return "loose" if roll < LOOSE else "grammar" if roll < LOOSE + GRAMMAR else "listed"


def state(rng: random.Random, fact: Fact, wording: Wording = "train") -> str:
    """The fact as a sentence of a passage."""
    mention = fact.entity.text if rng.random() < 0.9 else fact.entity.short
    kind = _kind(rng, wording)
    if kind == "loose":
        return _upper(_fill(_loose_statement(rng, fact.relation.shape), fact, mention))
    if kind == "grammar":
        return _upper(_fill(_from_grammar(rng, f"{fact.relation.shape}_sentence"), fact, mention))
    form = rng.choice(_forms(f"{fact.relation.shape}_sentences", wording))
    statement = _upper(_fill(form, fact, mention))
    return _surrounded(rng, statement) if wording == "train" else statement


@dataclass(frozen=True)
class Question:
    """A question that `fact` answers; a full sentence repeats the question's own mention of the entity."""

    text: str
    fact: Fact
    mention: str

    @property
    def sentence(self) -> str:
        return _fill(ANSWERS[self.fact.relation.shape], self.fact, self.mention)


def ask(rng: random.Random, fact: Fact, wording: Wording = "train") -> Question:
    """Ask for the fact in one of the forms."""
    mention = fact.entity.text if rng.random() < 0.75 else fact.entity.short
    kind = _kind(rng, wording)
    form = _question(rng, fact, wording, kind)
    text = _fill(form, fact, mention)
    if kind == "grammar" and rng.random() < 0.75:
        text = _upper(text)
    return Question(_spoken(rng, text) if wording == "train" and kind == "listed" else text, fact, mention)


def _question(rng: random.Random, fact: Fact, wording: Wording, kind: str) -> str:
    shape = fact.relation.shape
    if shape == "passive":
        question = fact.relation.bare
        lead = _from_grammar(rng, "passive_lead") if kind == "grammar" else rng.choice(_forms("passive_leads", wording))
        return lead.format(Q=question, q=question[0].lower() + question[1:])
    if kind == "loose":
        return _loose_question(rng, shape)
    if kind == "grammar":
        return _from_grammar(rng, f"{shape}_question")
    return rng.choice(_forms(f"{shape}_questions", wording))


def state_pair(rng: random.Random, first: Fact, second: Fact) -> str:
    """Two attributes of one entity in one sentence, which names the entity once."""
    head = _fill(rng.choice(FORMS["pair_heads"]), first, first.entity.text)
    return _upper(head + _fill(rng.choice(FORMS["pair_tails"]), second, second.entity.text))


def headed(rng: random.Random, title: str, passage: str, wording: Wording) -> str:
    """The passage under its title, in one of the ways in which documents do it."""
    return rng.choice(_forms("headings", wording)).format(t=title, p=passage)


def filler(rng: random.Random, about: Entity, split: Split) -> str:
    """A sentence that answers nothing: written by hand, or random words so that no wording is a surprise."""
    if rng.random() < 0.55:
        return rng.choice(FORMS["fillers"]).format(e=about.text, E=about.capitalised)
    picked = [rng.choice(words.NOUNS if rng.random() < 0.4 else words.OTHERS) for _ in range(rng.randint(4, 11))]
    if rng.random() < 0.3:
        picked[rng.randrange(len(picked))] = name(rng, split)
    if rng.random() < 0.2:
        picked[rng.randrange(len(picked))] = about.text
    if rng.random() < 0.15:
        picked[rng.randrange(len(picked))] = str(rng.randint(2, 999))
    return _upper(" ".join(picked)) + rng.choice("....!")
