"""Large bodies: none holds the interpreter, which is everybody's, for long."""

from __future__ import annotations

import json

import pytest

from trivet.errors import InvalidRequest
from trivet.http import body
from trivet.http.chat.request import ChatCompletionRequest

SIZE = 8 << 20


def chat(text: str, *, escaped: bool = False) -> bytes:
    asked = {"model": "plain", "messages": [{"role": "user", "content": text}]}
    return json.dumps(asked, ensure_ascii=escaped).encode()


REFUSED = {
    "backslashes": [lambda: chat("\n" * (SIZE // 2 - 100)), lambda: chat("\u00e9" * (SIZE // 6 - 100), escaped=True)],
    "bytes of text beyond ASCII": [lambda: chat("\u6f22" * (SIZE // 3 - 100))],
    "brackets, colons and commas": [lambda: chat("," * 500_000)],
    "fields": [lambda: b'{"model": "p",' + b",".join(b'"k%06d": 1' % number for number in range(1000)) + b"}"],
    "wrong or unknown values": [lambda: b'{"model": "p", "messages": [' + b",".join([b'{"role": 1}'] * 4000) + b"]}"],
}


@pytest.mark.parametrize("problem", REFUSED)
def test_what_would_take_long_is_refused_by_counting(problem: str) -> None:
    for make in REFUSED[problem]:
        with pytest.raises(InvalidRequest, match=problem):
            body._parsed(ChatCompletionRequest, make())


def test_long_texts_are_taken() -> None:
    for text in ("x" * (SIZE - 200), "\n" * 299_000 + "x" * 7_000_000, "\u6f22" * 690_000, "," * 390_000):
        read = body._parsed(ChatCompletionRequest, chat(text)).messages[0].content
        assert len(read) == len(text)
        assert hash(read) == hash(text)
