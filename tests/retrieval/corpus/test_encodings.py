"""Files that are not UTF-8."""

from __future__ import annotations

import pytest

from trivet.errors import DocumentRejected
from trivet.retrieval.corpus.encodings import as_utf8
from trivet.types.text.encodings import codec_of

GERMAN = "Preisliste für Möbel: Größe, Höhe und Maße. Das Möbelstück wird im Frühjahr ausgeliefert."
TEXTS = {
    "cp1252": GERMAN,
    "cp1251": "Список цен на мебель за две тысячи двадцать четвёртый год",
    "koi8_r": "Список цен на мебель за две тысячи двадцать четвёртый год",
    "cp1253": "Τιμοκατάλογος επίπλων για το έτος",
    "cp932": "家具の価格表です。二千二十四年",
    "gb18030": "二〇二四年家具价格表，欢迎选购。我们的家具都是用实木做的，一个星期之内送到您家，请您放心购买。",
    "cp949": "가구 가격표입니다 이천이십사년",
}


@pytest.mark.parametrize("codec", TEXTS)
def test_a_text_of_a_few_words_is_read_and_it_is_said_as_what(codec: str) -> None:
    decoded = as_utf8(TEXTS[codec].encode(codec))
    assert decoded.utf8.decode() == TEXTS[codec]
    assert codec_of(decoded.guessed) == codec.replace("_", "-" if codec == "koi8_r" else "_")


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_is_believed(codec: str) -> None:
    decoded = as_utf8(GERMAN.encode(codec))
    assert (decoded.utf8.decode("utf-8-sig"), decoded.guessed) == (GERMAN, "")


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_known_by_its_nul_bytes(codec: str) -> None:
    decoded = as_utf8(GERMAN.encode(codec))
    assert (decoded.utf8.decode(), decoded.guessed) == (GERMAN, codec)


@pytest.mark.parametrize(
    ("page", "codec"),
    [
        ("<html><head><meta charset='shift_jis'></head><p>家具の価格", "cp932"),
        ('<meta http-equiv="Content-Type" content="text/html; charset=iso-8859-1"><p>5 € für Möbel', "cp1252"),
        ('<?xml version="1.0" encoding="iso-8859-2"?><html><p>Zażółć gęślą', "iso8859-2"),
        ("<meta charset=iso-2022-jp><p>家具", "iso2022_jp"),
    ],
)
def test_a_page_is_read_as_it_declares(page: str, codec: str) -> None:
    decoded = as_utf8(page.encode(codec), html=True)
    assert (decoded.utf8.decode(), decoded.guessed) == (page, "")


def test_a_declaration_that_is_wrong_or_no_encoding_of_text_is_passed_over() -> None:
    for label in ("utf-8", "utf-16", "unicode_escape", "zip", "x" * 1000):
        page = f"<meta charset={label}><p>{GERMAN}"
        assert as_utf8(page.encode(), html=True).utf8.decode() == page
        assert as_utf8(page.encode("cp1252"), html=True).guessed == "windows-1252"


def test_utf8_is_left_as_it_is() -> None:
    for content in (b"", b"plain", GERMAN.encode(), "\ufeffx".encode()):
        assert as_utf8(content).utf8 is content


def test_the_indexs_own_encoding_goes_before_a_guess() -> None:
    content = "Привет".encode("cp1251")
    decoded = as_utf8(content, otherwise="cp1251")
    assert (decoded.utf8.decode(), decoded.guessed) == ("Привет", "")
    assert as_utf8(GERMAN.encode(), otherwise="cp1251").utf8.decode() == GERMAN


@pytest.mark.parametrize(
    "content", [b"a\0b", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff\xfe", bytes(range(256)) * 10, b"\xff\xfea", b"\0\0\0\0"]
)
def test_what_is_no_text_is_refused(content: bytes) -> None:
    with pytest.raises(DocumentRejected, match=r"not text in a known encoding|is not UTF-16"):
        as_utf8(content)


def test_a_guess_looks_at_a_bounded_part_from_the_first_foreign_letter_on(monkeypatch: pytest.MonkeyPatch) -> None:
    import charset_normalizer

    looked_at = []
    real = charset_normalizer.from_bytes

    def spy(sample: bytes, **options: object) -> object:
        looked_at.append(len(sample))
        return real(sample, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(charset_normalizer, "from_bytes", spy)
    text = "plain English. " * 100_000 + GERMAN * 10_000
    assert as_utf8(text.encode("cp1252")).utf8.decode() == text
    assert len(looked_at) == 1
    assert looked_at[0] <= 64 << 10
