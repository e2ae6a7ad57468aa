"""Text that cannot fit is found out before it is tokenized, or from its beginning; what can fit is never refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Encoding

from tests.support.engine.chat_families import Family
from trivet.errors import PromptTooLong
from trivet.prompts.template.source import Placeholder, PromptSource, Turn, Variable
from trivet.prompts.tokenizer import text_tokenizer
from trivet.prompts.tokenizer.chat_tokenizer import ChatTokenizer
from trivet.prompts.tokenizer.text_tokenizer import TextTokenizer
from trivet.prompts.tokenizer.token_bytes import GENEROUS, bytes_per_token, has_more_bytes
from trivet.types.passage import Passage
from trivet.types.request import Message
from trivet.types.variant import VersionRef

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WORDS = ("the ", "lamp", "  ", "\n\n", "12", "中文", "é", "e\u0301", "🙂", "ﬁ", "\u1100\u1161\u11a8", "Ａ")
PIECES = st.sampled_from((*WORDS, "x" * 40, " " * 40, "-" * 30))
TEXTS = st.lists(st.one_of(PIECES, st.text(max_size=20)), min_size=1, max_size=60).map("".join)


def text_of(family: Family) -> TextTokenizer:
    return ChatTokenizer.load(family.folder).text


@FEW
@given(text=TEXTS)
def test_no_text_has_more_bytes_than_its_tokens_can_stand_for(family: Family, text: str) -> None:
    tokenizer = text_of(family)
    text = text.encode("utf-8", "replace").decode()
    assert len(tokenizer.encode_text(text, True).ids) * tokenizer.bytes_per_token >= len(text.encode())


BYTES = {f"<0x{byte:02X}>": byte for byte in range(256)}
BYTE_LETTERS = {chr(0x100 + byte): byte for byte in range(256)}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 7),
        ({"normalizer": {"type": "NFKC"}}, 28),
        ({"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Strip"}]}}, GENEROUS),
        ({"normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}}, 7),
        ({"normalizer": {"type": "Replace", "pattern": {"Regex": " +"}, "content": " "}}, GENEROUS),
        ({"pre_tokenizer": {"type": "Whitespace"}}, GENEROUS),
        ({"pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "Removed"}}, GENEROUS),
        ({"model": {"type": "BPE", "byte_fallback": False, "unk_token": None, "vocab": {"ab": 0}}}, GENEROUS),
        ({"model": {"type": "BPE", "unk_token": "?", "fuse_unk": True, "vocab": {"?": 0}}}, GENEROUS),
        ({"model": {"type": "BPE", "unk_token": "?", "fuse_unk": False, "vocab": {"?": 0, "中文": 1}}}, 6),
        ({"model": {"type": "WordPiece", "unk_token": "?", "vocab": {"?": 0}}}, GENEROUS),
        ({"model": {"type": "Unigram", "unk_id": 0, "vocab": [["?", 0.0], ["中文", 0.0]]}}, GENEROUS),
        ({"pre_tokenizer": {"type": "ByteLevel"}, "model": {"type": "BPE", "vocab": {"中文": 256, **BYTE_LETTERS}}}, 2),
        ({"added_tokens": [{"content": " " * 9, "lstrip": False, "rstrip": False}]}, 9),
        ({"added_tokens": [{"content": " ", "lstrip": True, "rstrip": False}]}, GENEROUS),
        ({"added_tokens": [{"content": "<|a control token|>", "lstrip": True}]}, 7),
    ],
)
def test_a_bound_is_proven_or_generous(changes: dict[str, Any], expected: int) -> None:
    document = {"model": {"type": "BPE", "byte_fallback": True, "vocab": {"letters": 300, **BYTES}}, **changes}
    assert bytes_per_token(document, {"<|a control token|>"}) == expected


def test_bytes_are_counted_without_the_blanks_that_a_template_may_trim_off() -> None:
    assert has_more_bytes(["ü" * 5, " ab "], 11)
    assert not has_more_bytes(["ü" * 5, " ab "], 12)
    assert not has_more_bytes([" " * 1000], 0)


@pytest.fixture
def short_beginnings(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a text were long at 8 characters."""
    monkeypatch.setattr(text_tokenizer, "LONG_TEXT", 8)


@FEW
@given(text=TEXTS, less=st.integers(-3, 3), share=st.sampled_from([0.1, 0.5, 1.0]))
def test_counting_from_the_beginning_agrees_with_counting_all(
    family: Family, short_beginnings: None, text: str, less: int, share: float
) -> None:
    tokenizer, text = text_of(family), text.encode("utf-8", "replace").decode()
    whole = len(tokenizer.encode_text(text, True).ids)
    most = max(0, round(whole * share) - less)
    assert tokenizer.count_within(text, True, most) == (whole if whole <= most else None)


def small_tokenizer(pre_tokenizer: dict[str, Any] | None) -> TextTokenizer:
    """Knows " abcd" as one token; a beginning of it is two or three."""
    pieces = [" ", "a", "b", "c", "d", "?", " a", "bc", "bcd", " abcd"]
    merges = [[" ", "a"], ["b", "c"], ["bc", "d"], [" a", "bcd"]]
    model = {"type": "BPE", "unk_token": "?", "fuse_unk": False, "vocab": {p: i for i, p in enumerate(pieces)}}
    return TextTokenizer({
        "version": "1.0", "added_tokens": [], "normalizer": None, "pre_tokenizer": pre_tokenizer, "decoder": None,
        "model": {**model, "merges": merges},
    })  # fmt: skip


WORDS_APART = {"type": "Split", "pattern": {"Regex": " ?[a-z]+"}, "behavior": "Isolated", "invert": False}


@pytest.mark.parametrize("pre_tokenizer", [WORDS_APART, None], ids=["words", "one word"])
@pytest.mark.parametrize("words", range(1, 8))
@pytest.mark.parametrize("cut", range(1, 13))
def test_a_word_that_is_cut_counts_for_no_more_than_it_is(
    monkeypatch: pytest.MonkeyPatch, pre_tokenizer: dict[str, Any] | None, words: int, cut: int
) -> None:
    monkeypatch.setattr(text_tokenizer, "LONG_TEXT", cut)
    tokenizer = small_tokenizer(pre_tokenizer)
    assert tokenizer.count_within(" abcd" * words, True, words) == words
    assert tokenizer.count_within(" abcd" * words, True, words - 1) is None


class Watched:
    """Counts the characters that are tokenized."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.characters = 0
        encode = TextTokenizer._encode

        def counting(tokenizer: TextTokenizer, text: str, initial: bool) -> Encoding:
            self.characters += len(text)
            return encode(tokenizer, text, initial)

        monkeypatch.setattr(TextTokenizer, "_encode", counting)


PROMPT = PromptSource(VersionRef("p", "1"), Path("1.md"), (Turn("system", ("Answer.",)),))


@pytest.mark.parametrize("text", ["the lamp is here. ", "x", "中文"], ids=["words", "one word", "chinese"])
def test_the_work_for_a_text_that_does_not_fit_does_not_grow_with_it(
    family: Family, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    assembler = family.assembler(PROMPT)
    work = []
    for characters in (200_000, 800_000):
        watched = Watched(monkeypatch)
        with pytest.raises(PromptTooLong):
            assembler.assemble([Message("user", text * (characters // len(text)))], context_tokens=900, max_tokens=100)
        work.append(watched.characters)
        monkeypatch.undo()
    assert work[0] == work[1] <= 200_000


def test_what_can_never_fit_is_not_tokenized_at_all(chatml: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    assembler = chatml.assembler(PROMPT)
    watched = Watched(monkeypatch)
    with pytest.raises(PromptTooLong, match="more than 80,000 bytes, which is the most that can fit into 800 tokens"):
        assembler.assemble([Message("user", "x" * 90_000)], context_tokens=900, max_tokens=100)
    assert watched.characters == 0


def test_only_the_variables_that_the_prompt_uses_count(chatml: Family) -> None:
    variables = {"used": Variable("used", ""), "unused": Variable("unused", "")}
    turns = (Turn("system", ("Answer for ", Placeholder("used"))),)
    assembler = chatml.assembler(PromptSource(PROMPT.ref, PROMPT.path, turns, variables))
    asked = [Message("user", "hello")]
    with pytest.raises(PromptTooLong):
        assembler.assemble(asked, context_tokens=900, max_tokens=100, variables={"used": "x" * 90_000})
    assembler.assemble(asked, context_tokens=900, max_tokens=100, variables={"unused": "x" * 90_000})


def test_a_long_conversation_that_fits_is_assembled_with_what_passages_fit_beside_it(chatml: Family) -> None:
    text = "the lamp is here. " * 1000
    passages = [Passage(f"p{n}", "doc", "T", "The lamp ships from Tamsel.", 1.0, 1) for n in range(5)]
    assembler = chatml.assembler(PROMPT)
    asked = [Message("user", text)]
    bare = len(assembler.assemble(asked, context_tokens=10**6, max_tokens=1).token_ids)
    made = assembler.assemble(asked, context_tokens=bare + 30, max_tokens=1, passages=passages)
    assert 1 <= len(made.passages) < 5
    with pytest.raises(PromptTooLong, match="more than"):
        assembler.assemble(asked, context_tokens=bare, max_tokens=1, passages=passages)


@pytest.mark.parametrize("text", ["the lamp is here. ", "x", "中文"], ids=["words", "one word", "chinese"])
def test_room_is_required_exactly_where_a_prompt_without_passages_needs_it(family: Family, text: str) -> None:
    assembler = family.assembler(PROMPT)
    asked = [Message("user", text * 40)]
    needed = len(assembler.assemble(asked, context_tokens=10_000, max_tokens=10).token_ids)
    assembler.require_room(asked, context_tokens=needed + 10, max_tokens=10)
    with pytest.raises(PromptTooLong, match=rf"{needed} tokens .* at most {needed - 1} fit"):
        assembler.require_room(asked, context_tokens=needed + 9, max_tokens=10)


def test_what_is_short_is_not_counted(chatml: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    assembler = chatml.assembler(PROMPT)
    asked = [Message("user", "x" * 100)]
    assembler.assemble(asked, context_tokens=900, max_tokens=100)  # its plan is made
    watched = Watched(monkeypatch)
    assembler.require_room(asked, context_tokens=900, max_tokens=100)
    assert watched.characters == 0
