"""Text that knows where it comes from, against ordinary strings: the same text, and never more trust than was given."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivet.prompts.rendering.chat_template import ChatTemplate
from trivet.prompts.rendering.provenance import TRUSTED, UNKNOWN, Text, concatenated, spans_of
from trivet.prompts.rendering.watched_text import Watch, WatchedText

SOURCES = ("t", "ab\n", " x-", "-", "ba b", "\r\n", "ßtt")
KNOWN = 0
PIECES = st.lists(st.tuples(st.sampled_from([TRUSTED, UNKNOWN, KNOWN]), st.sampled_from(SOURCES)), max_size=6)
OPERATIONS: list[tuple[str, tuple[Any, ...]]] = [
    *((name, ()) for name in ("strip", "lstrip", "rstrip", "split", "rsplit", "splitlines", "upper", "lower", "title")),
    *(
        (name, ("b",))
        for name in ("strip", "split", "rsplit", "partition", "rpartition", "removeprefix", "removesuffix")
    ),
    *(("capitalize", ()), ("split", ("-", 1)), ("rsplit", ("b", 1)), ("split", (None, 1)), ("splitlines", (True,))),
    *(("replace", ("b", "bb")), ("replace", ("-", "")), ("replace", ("", "-")), ("replace", ("a", "", 1))),
    *(("__getitem__", (slice(a, b, c),)) for a in (None, 1, -2) for b in (None, 3) for c in (None, 2, -1)),
    *(("__mul__", (2,)), ("__mul__", (0,)), ("join", (["a", "b"],)), ("__add__", ("b",)), ("__radd__", ("b",))),
]


def made(pieces: list[tuple[int, str]]) -> Text:
    """Texts of a known source are numbered by their place."""
    return concatenated(
        Text.trusted(text) if source == TRUSTED else Text(text) if source == UNKNOWN else Text.from_source(text, number)
        for number, (source, text) in enumerate(pieces)
    )


def check(text: str, pieces: list[tuple[int, str]]) -> None:
    """Spans cover it, and what is of a source reads as what stands there."""
    at = 0
    for size, source, offset in spans_of(text):
        piece = "".join((text,))[at : at + size]
        at += size
        assert size > 0
        assert source < 0 or piece == pieces[source][1][offset : offset + size]
    assert at == len("".join((text,)))


@settings(deadline=None)
@given(pieces=PIECES, operation=st.sampled_from(OPERATIONS))
def test_every_operation_gives_the_same_text(pieces: list[tuple[int, str]], operation: tuple[str, Any]) -> None:
    text = made(pieces)
    plain = "".join((text,))
    name, arguments = operation
    if name == "__radd__":
        assert arguments[0] + text == arguments[0] + plain
        return
    got, wanted = getattr(text, name)(*arguments), getattr(plain, name)(*arguments)
    assert got == wanted
    assert type(got) is (Text if isinstance(wanted, str) else type(wanted))
    for part in [got] if isinstance(got, str) else got:
        check(part, pieces)
    trusted = sum(size for size, source, _ in spans_of(text) if source == TRUSTED)
    all_of = [got] if isinstance(got, str) else got
    gained = sum(size for part in all_of for size, source, _ in spans_of(part) if source == TRUSTED)
    assert gained <= trusted * (2 if name == "__mul__" else 1)
    assert [str(character) for character in text] == list(plain)


@pytest.mark.parametrize(
    "lose",
    [str.swapcase, str.casefold, lambda text: f"{text:>20}", lambda text: text.center(20), lambda text: f"a{text}"],
)
def test_what_keeps_no_mark_is_not_trusted(lose: Callable[[str], str]) -> None:
    lost = lose(Text.trusted("<|end|>"))
    assert all(source != TRUSTED for _, source, _ in spans_of(lost))


def test_a_text_is_not_repeated_without_end() -> None:
    assert len(Text.trusted("ab") * 1000) == 2000
    with pytest.raises(OverflowError):
        Text.trusted("ab") * 10**12


def test_formats_of_dates_that_a_client_makes_are_not_kept() -> None:
    template = ChatTemplate("{% for m in messages %}{{ strftime_now(m.content) }}{% endfor %}", {})
    moment = template.moment(datetime(2026, 1, 1, tzinfo=UTC))
    for number in range(100):
        said = template.render([{"role": "user", "content": Text(f"%Y {number}")}], moment)
        assert said == f"2026 {number}"
        assert all(source == UNKNOWN for _, source, _ in spans_of(said))
    assert len(template.moment(datetime(2026, 1, 1, tzinfo=UTC)).dates) == 16


ASKING: list[tuple[str, set[str] | None]] = [
    ("{{ m.content }}", set()),
    ("{{ m.content | trim }}", set()),
    ("{% if m.content %}{{ m.content }}{% endif %}", set()),
    ("{% if m.content is string and m.content is iterable %}{{ m.content }}{% endif %}", set()),
    ("{% if '<a>' in m.content %}x{% endif %}{{ m.content }}", {"<a>"}),
    ("{{ m.content.split('<a>')[-1].lstrip('\\n') }}", {"<a>"}),
    ("{{ m.content.strip('`') }}", {"`"}),
    ("{% if m.content.startswith('<a>') or m.content.endswith('<b>') %}x{% endif %}{{ m.content }}", {"<a>", "<b>"}),
    ("{% if m.content == '<a>' %}x{% endif %}{{ m.content }}", {"<a>"}),
    ("{{ m.content.replace('<a>', '') ~ m.content | replace('<b>', '') }}", {"<a>", "<b>"}),
    ("{% if m.content | length > 3 %}x{% endif %}{{ m.content }}", None),
    ("{{ m.content[:3] ~ m.content[3:] }}", None),
    ("{{ m.content | upper }}", None),
    ("{% for c in m.content %}{{ c }}{% endfor %}", None),
    ("{% if m.content in 'abc' %}x{% endif %}{{ m.content }}", None),
    ("{% if m.content < 'abc' %}x{% endif %}{{ m.content }}", None),
    ("{% if {'a': 1}[m.content] %}x{% endif %}{{ m.content }}", None),
    ("{{ m.content | int }}{{ m.content }}", None),
    ("{% if m.content.isdigit() %}x{% endif %}{{ m.content }}", None),
    ("{{ '%s' | format(m.content) }}", None),
]


@pytest.mark.parametrize(("body", "needles"), ASKING)
def test_what_a_template_asks_of_a_text_is_noticed(body: str, needles: set[str] | None) -> None:
    watch = Watch()
    content = WatchedText("ꦏꦤꦠꦫ", ((4, 0, 0),), watch)
    template = ChatTemplate("{% for m in messages %}" + body + "{% endfor %}", {})
    rendered = template.render(
        [{"role": "user", "content": content}], template.moment(datetime(2026, 1, 1, tzinfo=UTC))
    )
    lost = any(source == UNKNOWN for _, source, _ in spans_of(rendered))
    assert (None if watch.any_other or lost else watch.needles) == needles
