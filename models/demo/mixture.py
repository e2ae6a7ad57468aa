"""The training mix: conversations over passages, dense look-ups and copying.

Dense look-ups carry the most signal per token; without them at first the model learns to find the attribute and never
the entity. So the first stages of a training have mixes of their own (see `recipe.yaml`).
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import words
from facts import Entity, Fact, Relation, entity, fact, relation, sibling, value
from names import Split, name
from prefixes import Style, Turn, passage_block, prefix, style, wrapped
from wording import UNKNOWN, Question, Wording, ask, filler, headed, state, state_pair

Example = list[Turn]


@dataclass(frozen=True)
class Shape:
    """How a context looks; the evaluation pins these, the training draws them."""

    passages: int = 1
    facts: int = 1
    hard: float = 0.6  # the share of further passages that state the same relations of another entity
    filler: float = 0.35
    unknown: float = 0.12
    wording: Wording = "train"


@dataclass(frozen=True)
class Context:
    passages: list[str]
    facts: list[Fact]


def _passage(rng: random.Random, facts: list[Fact], split: Split, shape: Shape) -> str:
    about = facts[0].entity
    sentences: list[str] = []
    rest = list(facts)
    while rest:
        head = rest.pop(0)
        paired = rest and head.relation.shape == rest[0].relation.shape == "attribute" and rng.random() < 0.15
        if paired and shape.wording != "held-out":
            sentences.append(state_pair(rng, head, rest.pop(0)))
        else:
            sentences.append(state(rng, head, shape.wording))
    while rng.random() < shape.filler:
        sentences.insert(rng.randint(0, len(sentences)), filler(rng, about, split))
    text = " ".join(sentences)
    if shape.filler and rng.random() < 0.06:
        text = wrapped(rng, text)
    if shape.filler and rng.random() < 0.12:
        title = rng.choice((about.text, f"About {about.text}", name(rng, split), " ".join(rng.sample(words.NOUNS, 2))))
        return headed(rng, title, text, shape.wording)
    return text


def _relations(rng: random.Random, count: int) -> list[Relation]:
    drawn: dict[str, Relation] = {}
    while len(drawn) < count:
        one = relation(rng)
        drawn[one.key] = one
    return list(drawn.values())


def context(rng: random.Random, split: Split, shape: Shape) -> Context:
    """Passages, each about one entity; the further ones often state the same relations of another entity."""
    first = entity(rng, split)
    shared = _relations(rng, shape.facts)
    groups = [[fact(rng, split, first, what) for what in shared]]
    while len(groups) < shape.passages:
        roll = rng.random()
        if roll < shape.hard:
            groups.append([fact(rng, split, _another(rng, groups, split), what) for what in shared])
        elif roll < shape.hard + 0.15:
            fresh = [what for what in _relations(rng, shape.facts) if all(what.key != old.key for old in shared)]
            groups.append([fact(rng, split, first, what) for what in fresh or [_new_relation(rng, groups)]])
        else:
            other = _another(rng, groups, split)
            groups.append([fact(rng, split, other, what) for what in _relations(rng, shape.facts)])
    rng.shuffle(groups)
    for group in groups:
        rng.shuffle(group)
    facts = _unambiguous([one for group in groups for one in group])
    return Context([_passage(rng, group, split, shape) for group in groups], facts)


def _another(rng: random.Random, groups: list[list[Fact]], split: Split) -> Entity:
    """An entity that none of the groups is about, often a sibling of the first."""
    taken = {group[0].entity.text for group in groups} | {group[0].entity.short for group in groups}
    while True:
        other = sibling(groups[0][0].entity, rng, split)
        if other.text not in taken and other.short not in taken:
            return other


def _new_relation(rng: random.Random, groups: list[list[Fact]]) -> Relation:
    known = {one.relation.key for group in groups for one in group}
    while True:
        what = relation(rng)
        if what.key not in known:
            return what


def _unambiguous(facts: list[Fact]) -> list[Fact]:
    """Facts whose relation is stated once for their entity: only these may be asked."""
    keys = [(one.entity.text, one.relation.key) for one in facts]
    return [one for one, key in zip(facts, keys, strict=True) if keys.count(key) == 1]


def _stranger(rng: random.Random, given: Context, split: Split) -> Fact:
    """A fact that the context does not hold: another entity, or another relation of a known one."""
    known = rng.choice(given.facts)
    if rng.random() < 0.5:
        while True:
            other = sibling(known.entity, rng, split)
            if all(other.short not in text and other.text not in text for text in given.passages):
                return fact(rng, split, other, known.relation)
    return fact(rng, split, known.entity, _new_relation(rng, [given.facts]))


def answer(question: Question, wanted: Style) -> str:
    return question.fact.value if wanted == "terse" else question.sentence


def conversation(
    rng: random.Random, split: Split, shape: Shape, questions: int, share: float = 0.55, wanted: Style | None = None
) -> Example:
    """A context and one or several questions about it, to be answered as `wanted` (drawn by chance if None)."""
    given = context(rng, split, shape)
    wanted = wanted or style(rng)
    turns = prefix(rng, split, wanted, shape.wording, share)
    # With replacement: else the last answer is the one that is left over, and nothing has to be read for it.
    asked = rng.choices(given.facts, k=questions)
    lead = passage_block(given.passages)
    for one in asked:
        if rng.random() < shape.unknown:
            turns += [Turn("user", lead + ask(rng, _stranger(rng, given, split), shape.wording).text)]
            turns += [Turn("assistant", UNKNOWN)]
        else:
            question = ask(rng, one, shape.wording)
            turns += [Turn("user", lead + question.text), Turn("assistant", answer(question, wanted))]
        lead = ""
    return turns


def without_passages(rng: random.Random, split: Split, wording: Wording = "train") -> Example:
    turns = prefix(rng, split, style(rng), wording)
    return [*turns, Turn("user", ask(rng, fact(rng, split), wording).text), Turn("assistant", UNKNOWN)]


def lookups(rng: random.Random, split: Split, wording: Wording = "train") -> Example:
    """Two to six keys with their values, each asked for once with next to nothing around it.

    Once each: with keys drawn anew for every question the look-up is hardly learned (after 1 M tokens of nothing else
    .36 right, and .68 so).
    """
    pairs: dict[str, str] = {}
    count = rng.randint(2, 6)
    composite = rng.random() < 0.4
    owners = [entity(rng, split).short for _ in range(2)]
    things = [what.key for what in _relations(rng, 3)]
    while len(pairs) < count:
        key = f"{rng.choice(owners)} {rng.choice(things)}" if composite else entity(rng, split).short
        pairs.setdefault(key, value(rng, relation(rng), split))
    between = rng.choice((": ", " is ", " = ", " ", " -> ", " has "))
    lines = [f"{key}{between}{given}" for key, given in pairs.items()]
    if rng.random() < 0.3:
        lead = passage_block([f"{line}." for line in lines])
    else:
        lead = passage_block([rng.choice((". ", "; ", ", ")).join(lines)])
    mark = rng.choice(("?", "", ":", "?"))
    turns = prefix(rng, split, "terse", wording, share=0.08)
    for key in rng.sample(list(pairs), k=count):
        turns += [Turn("user", f"{lead}{key}{mark}"), Turn("assistant", pairs[key])]
        lead = ""
    return turns


def roll_calls(rng: random.Random, split: Split, wording: Wording = "train") -> Example:
    """Two to six entities with the same relation, all asked for: only the entity tells the values apart.

    Half of the questions are the bare entity. This is the bridge from look-ups, where the value stands beside its key,
    to sentences, where other words stand between them.
    """
    what = relation(rng)
    first = fact(rng, split, what=what)
    facts = [first]
    while len(facts) < rng.choice((2, 2, 3, 4, 6)):
        facts.append(fact(rng, split, _another(rng, [[one] for one in facts], split), what))
    sentences = [state(rng, one, wording) for one in facts]
    rng.shuffle(sentences)
    lead = passage_block(sentences if rng.random() < 0.6 else [" ".join(sentences)])
    turns = prefix(rng, split, "terse", wording, share=0.1)
    for one in rng.sample(facts, len(facts)):
        bare = f"{one.entity.short if rng.random() < 0.5 else one.entity.text}{rng.choice(('?', ''))}"
        asked = bare if rng.random() < 0.5 else ask(rng, one, wording).text
        turns += [Turn("user", lead + asked), Turn("assistant", one.value)]
        lead = ""
    return turns


def grids(rng: random.Random, split: Split, wording: Wording = "train") -> Example:
    """Entities by relations, many cells asked for: both are needed to answer, and sometimes a cell is empty."""
    whats = _relations(rng, rng.choice((2, 2, 3)))
    first = entity(rng, split)
    groups = [[fact(rng, split, first, what) for what in whats]]
    while len(groups) < rng.choice((1, 2, 2, 3)):
        other = _another(rng, groups, split)
        groups.append([fact(rng, split, other, what) for what in whats])
    cells = [one for group in groups for one in group]
    empty = rng.choice(cells) if len(cells) > 2 and rng.random() < 0.35 else None
    told = [[one for one in rng.sample(group, len(group)) if one is not empty] for group in groups]
    passages = [_passage(rng, group, split, Shape(filler=0.1, wording=wording)) for group in told if group]
    rng.shuffle(passages)
    lead = passage_block(passages)
    turns = prefix(rng, split, "terse", wording, share=0.1)
    for one in rng.choices(cells, k=min(6, len(cells) + 1)):
        short = f"{one.entity.short}{rng.choice((' ', ', ', ': '))}{one.relation.key}{rng.choice(('?', ''))}"
        asked = short if rng.random() < 0.35 else ask(rng, one, wording).text
        turns += [Turn("user", lead + asked), Turn("assistant", UNKNOWN if one is empty else one.value)]
        lead = ""
    return turns


_PRINTABLE = string.ascii_letters + string.digits + string.punctuation * 2 + " "


def copying(rng: random.Random, split: Split, wording: Wording = "train") -> Example:
    """Printable characters to repeat, so that no character of a later task (braces, quotes) is a dead token."""
    text = "".join(rng.choices(_PRINTABLE, k=rng.randint(4, 24))).strip() or "{}"
    return [Turn("user", f"{rng.choice(('Repeat', 'Copy', 'Say', 'Echo'))}: {text}"), Turn("assistant", text)]


def _easy(rng: random.Random, split: Split, wording: Wording) -> Example:
    facts = rng.randint(1, 3)
    return conversation(rng, split, Shape(1, facts, wording=wording), rng.randint(1, facts))


def _pair(rng: random.Random, split: Split, wording: Wording) -> Example:
    return conversation(rng, split, Shape(2, rng.choice((1, 1, 2)), hard=1.0, wording=wording), rng.randint(1, 3))


def _full(rng: random.Random, split: Split, wording: Wording) -> Example:
    passages = rng.choice((2, 3, 3, 3, 4))
    shape = Shape(passages, rng.randint(1, 3), filler=rng.choice((0.0, 0.35, 0.5)), wording=wording)
    return conversation(rng, split, shape, rng.randint(1, 4))


Maker = Callable[[random.Random, Split, Wording], Example]

# Each kind of example by its name, with its share of the full mix; stages of a recipe may have a mix of their own.
KINDS: dict[str, Maker] = {
    "lookups": lookups,
    "roll_calls": roll_calls,
    "grids": grids,
    "easy": _easy,
    "pair": _pair,
    "full": _full,
    "without_passages": without_passages,
    "copying": copying,
}
Mix = Mapping[str, float]
FULL_MIX: Mix = {
    "lookups": 0.06, "roll_calls": 0.10, "grids": 0.20, "easy": 0.12, "pair": 0.13, "full": 0.30,
    "without_passages": 0.05, "copying": 0.04,
}  # fmt: skip


def example(rng: random.Random, mix: Mix = FULL_MIX, split: Split = "train", wording: Wording = "train") -> Example:
    """One example of a mix: shares by kind."""
    (kind,) = rng.choices(list(mix), list(mix.values()))
    return KINDS[kind](rng, split, wording)
