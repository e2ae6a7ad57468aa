"""Term vectors: words, and names as terms of their own."""

from __future__ import annotations

import pytest

from trivet.retrieval.snapshot.fusion import leg_weights
from trivet.retrieval.snapshot.terms import TermVectors

VECTORS = TermVectors("english", 180)


def score(query: str, passage: str) -> float:
    """The product of both vectors, without the frequencies that the engine multiplies in."""
    asked, has = VECTORS.of_query(query), VECTORS.of_passage(passage)
    weights = dict(zip(has.indices, has.values, strict=True))
    return sum(value * weights.get(term, 0.0) for term, value in zip(asked.indices, asked.values, strict=True))


@pytest.mark.parametrize(
    ("query", "right", "wrong"),
    [
        ("bisect_left", "call bisect_left(a, x) to", "call bisect(a, x) with a left border"),
        ("os.path.getmtime", "the time of os.path.getmtime", "the path that os has, getmtime"),
        ("PyList_New", "PyObject *PyList_New(Py_ssize_t len)", "PyList is new here, a list"),
        ("BISECT_LEFT", "call bisect_left(a, x) to", "call bisect(a, x) with a left border"),
        ("self._flush_all", "def _flush_all(self): to empty", "to flush it all, by self"),
    ],
)
def test_a_name_is_more_than_its_words(query: str, right: str, wrong: str) -> None:
    assert score(query, right) > score(query, wrong) > 0


@pytest.mark.parametrize(
    ("query", "right", "wrong"),
    [
        ("1023-55-A", "the part 1023-55-A is a bracket", "the part 55-1023-A is a bracket"),
        ("1023-55-A", "ask for 1023\u201155\u2011A, a bracket", "ask for 1023 or 55, A, a bracket"),
        ("CVE-2024-3094", "mended with CVE-2024-3094.", "mended with CVE-3094-2024."),
        ("6ES7/315-2", "the module 6ES7/315-2 is", "the module 315-2/6ES7 is"),
        ("1.2.3", "since version 1.2.3 it works", "since version 1.2.3-rc1 it works"),
        ("1.2.3-rc1", "since version 1.2.3-rc1 it works", "since version 1.2.3-rc2 it works"),
        ("AB-12", "spare parts: AB-12/CD-34", "spare parts: AB-13/CD-12"),
        ("2024-03-05", "valid from 2024-03-05 on", "valid from 2024-05-03 on"),
    ],
)
def test_a_number_of_parts_is_more_than_its_parts(query: str, right: str, wrong: str) -> None:
    assert score(query, right) > score(query, wrong) > 0


def test_words_that_dashes_join_are_words() -> None:
    joined, apart = "state-of-the-art and/or read-only", "state of the art and or read only"
    assert VECTORS.of_query(joined) == VECTORS.of_query(apart)


def test_words_are_stemmed_and_stop_words_are_none() -> None:
    assert score("weighing lamps", "the lamp weighs") > 0
    assert not VECTORS.of_query("what is the").indices
    assert not VECTORS.of_query("___ . _._").indices


def test_a_vector_names_each_term_once() -> None:
    vector = VECTORS.of_passage("a.b_c a.b_c b_c os.path os.path.join __init__ __init__")
    assert len(set(vector.indices)) == len(vector.indices) == len(vector.values)
    assert all(0 < value < 2.2 for value in vector.values)
    assert all(0 <= index < 2**32 for index in vector.indices)


def test_words_alone_are_as_the_engine_makes_them() -> None:
    """So that an index of prose is what it was."""
    from qdrant_edge import Bm25, Bm25Config

    text = "The lamp weighs 12 grams. It burns for nine hours."
    engine = Bm25(Bm25Config(language="english", avg_len=180 * 0.6)).embed_document(text)
    mine = VECTORS.of_passage(text)
    assert dict(zip(mine.indices, mine.values, strict=True)) == dict(zip(engine.indices, engine.values, strict=True))


def test_a_word_is_a_name_and_more_is_a_question() -> None:
    assert leg_weights("os.path.join") == leg_weights(" join ") == (0.25, 1.0)
    assert leg_weights("how do I join paths?") == (1.0, 0.34)


def test_a_question_about_a_part_number_is_about_a_name() -> None:
    terms_count = leg_weights("what does 1023-55-A cost?")[1]
    assert terms_count == leg_weights("1023-55-A")[1] == 1.0
    assert leg_weights("what does 1023-55-A cost?", known=False) == leg_weights("what is it?")
    for other in ("what is the state-of-the-art?", "how do I read UTF-8?", "what is new in 3.11.2?"):
        assert leg_weights(other) == leg_weights("what is it?")


@pytest.mark.parametrize(
    ("language", "query", "right", "wrong"),
    [
        ("german", "Müller", "Frau Mueller kommt", "Frau Meier kommt"),
        ("german", "Mueller", "Frau Müller kommt", "Frau Meier kommt"),
        ("german", "Häuser", "am Haeuserblock", "am Hafen"),
        ("german", "Schifffahrt", "die Donaudampfschifffahrt", "die Donaubrücke"),
        ("german", "Straße", "die Strasse", "die Strände"),
        ("polish", "drukarek", "drukarka nie działa", "drzwi nie działają"),
        ("polish", "samochodami", "dwa samochody", "sami swoi"),
        ("auto", "drukarek", "drukarka nie działa", "drzwi nie działają"),
        ("arabic", "الكتاب", "كِتَابٌ جديد", "باب جديد"),
        ("arabic", "أحمد", "احمد هنا", "محمود هنا"),
        ("hebrew", "בית", "אני בבית", "אני בים"),
        ("korean", "한국어", "한국어를 배우다", "한자를 배우다"),
        ("thai", "ภาษาไทย", "เรียนภาษาไทยที่นี่", "เรียนที่นี่"),
        ("japanese", "印刷", "文書を印刷する", "文書を削除する"),
        ("english", "カタカナ", "ｶﾀｶﾅを書く", "漢字を書く"),
        ("chinese", "防火墙", "怎样配置防火墙规则", "怎样配置打印机"),
        ("none", "数据包过滤", "配置数据包过滤的防火墙", "配置打印机"),
    ],
)
def test_words_of_each_language_are_found_in_their_other_forms(
    language: str, query: str, right: str, wrong: str
) -> None:
    vectors = TermVectors(language, 180)

    def score_of(passage: str) -> float:
        asked, has = vectors.of_query(query), vectors.of_passage(passage)
        weights = dict(zip(has.indices, has.values, strict=True))
        return sum(value * weights.get(term, 0.0) for term, value in zip(asked.indices, asked.values, strict=True))

    assert score_of(right) > score_of(wrong)


@pytest.mark.parametrize(
    ("query", "right", "wrong"),
    [
        ("C#", "written in C# alone", "written in C alone"),
        ("C++", "the C++ compiler", "the C compiler"),
        ("/etc/fstab", "edit /etc/fstab first", "edit the fstab in etc first"),
        ("src/main.rs", "see src/main.rs for it", "see the main of src, rs for it"),
        ("--no-install", "with --no-install it only loads", "no install is made here"),
        ("std::vector", "a std::vector<int> of", "a vector of std"),
    ],
)
def test_signs_are_parts_of_names(query: str, right: str, wrong: str) -> None:
    assert score(query, right) > score(query, wrong)


def test_a_language_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="got 'klingon'"):
        TermVectors("klingon", 180)


@pytest.mark.parametrize("text", ["怎样配置防火墙", "パスワードの選び方は", "ภาษาไทยไม่มีช่องว่าง"])
def test_a_question_without_blanks_is_no_name(text: str) -> None:
    assert leg_weights(text) == (1.0, 0.34)
    assert leg_weights(text, english=True) == (0.25, 1.0), "an English model cannot tell what it means"


def test_a_short_run_without_blanks_is_a_name() -> None:
    assert leg_weights("防火墙") == (0.25, 1.0)
