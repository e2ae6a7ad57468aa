"""Text to token ids, twice: as Hugging Face does it, and so that nothing in the text can become a control token.

A control token is an added token that the tokenizer calls special, that the chat template writes, or that looks like a
marker: it has something else than letters, digits and blanks. Other added tokens are ordinary words, as are runs of
blanks, and text becomes them as it does for transformers. The unknown token is no control token either.

The second tokenizer is the first with every control token renamed to a random name: in the added tokens, in the model's
vocabulary and in the merges that would make it. Ids stay as they are.
"""

from __future__ import annotations

import copy
import json
import secrets
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tokenizers import Encoding, Tokenizer

from trivet.prompts.tokenizer.token_bytes import bytes_per_token

LONG_TEXT = 8192  # characters
_STATIC_KEPT = 1024


@dataclass(frozen=True, slots=True)
class ControlToken:
    """An added token as found in text; `start` and `end` are character offsets, blanks that it swallows included.

    `strips_left`, `strips_right`: it also swallows the blanks of what stands before or after it.
    """

    id: int
    start: int
    end: int
    strips_left: bool
    strips_right: bool


class TextTokenizer:
    """The pair of tokenizers made from one tokenizer.json."""

    def __init__(self, document: dict[str, Any], template: str = "") -> None:
        """`document`: the parsed tokenizer.json; `template`: the chat template. ValueError if it cannot be loaded."""
        document = {**document, "truncation": None, "padding": None, "post_processor": None}
        controls = [token for token in document["added_tokens"] if _is_control(token, document["model"], template)]
        self._flags = {int(token["id"]): (bool(token["lstrip"]), bool(token["rstrip"])) for token in controls}
        self.control_ids = frozenset(self._flags)
        self.control_texts = frozenset(str(token["content"]) for token in controls)
        self.bytes_per_token = bytes_per_token(document, set(self.control_texts))
        plain = _without(document, set(self.control_texts))
        inner = copy.deepcopy(plain["pre_tokenizer"])
        changed = [_prepend_never(node) for node in _metaspaces(inner)]
        self._full = _load(document)
        self._initial = _load(plain)
        self._inner = _load({**plain, "pre_tokenizer": inner}) if any(changed) else self._initial
        self.static_ids = lru_cache(maxsize=_STATIC_KEPT)(self._static_ids)

    def encode_all(self, text: str) -> list[int]:
        """Ids as Hugging Face gives them, control tokens recognised. Only for trusted text."""
        ids: list[int] = self._full.encode(text, add_special_tokens=False).ids
        return ids

    def find_controls(self, text: str) -> list[ControlToken]:
        """The control tokens that Hugging Face would recognise in trusted text, in order."""
        encoding = self._full.encode(text, add_special_tokens=False)
        return [
            ControlToken(token, start, end, *self._flags[token])
            for token, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
            if token in self._flags
        ]

    def encode_text(self, text: str, initial: bool) -> Encoding:
        """Untrusted text as an Encoding without control tokens. `initial`: the whole input begins with this text.

        Raises RuntimeError if a control token came out: then this tokenizer is built in a way not foreseen here, and
        nothing may be served with it.
        """
        encoding = self._encode(text, initial)
        if not self.control_ids.isdisjoint(encoding.ids):
            raise RuntimeError("a control token came out of plain text")
        return encoding

    def _static_ids(self, text: str, initial: bool) -> tuple[int, ...]:
        """The ids of a text that many prompts have, such as those of the operator's; kept."""
        return tuple(self.encode_text(text, initial).ids)

    def count_within(self, text: str, initial: bool, most: int) -> int | None:
        """How many tokens it has; None if more than `most`, found without looking at all of a long text.

        What follows a beginning of a text changes its last words at most, so the words before those are counted.
        Where a word has no end (a text without blanks, a tokenizer that knows no words) it is all tokens of the
        beginning that are counted, against twice as many: what follows changes those next to the cut.
        """
        size = max(LONG_TEXT, 4 * most)
        while size < len(text):
            beginning = self._encode(text[:size], initial)
            if len(beginning) > 2 * most + self.bytes_per_token or _settled(beginning) > most:
                return None
            size *= 4
        tokens = len(self._encode(text, initial))
        return tokens if tokens <= most else None

    def _encode(self, text: str, initial: bool) -> Encoding:
        tokenizer = self._initial if initial else self._inner
        if len(text) <= LONG_TEXT:
            return tokenizer.encode(text, add_special_tokens=False)
        # Unlike `encode`, this lets other threads run meanwhile; for a short text that costs more than it gives.
        return tokenizer.encode_batch([text], add_special_tokens=False)[0]


def _settled(beginning: Encoding) -> int:
    """How many tokens of a text's beginning are the same whatever follows: those before its last two words."""
    words: list[int | None] = beginning.word_ids
    last = next((word for word in reversed(words) if word is not None), 0)
    return next((i for i, word in enumerate(words) if word is not None and word >= last - 1), len(words))


def _load(document: dict[str, Any]) -> Tokenizer:
    try:
        return Tokenizer.from_str(json.dumps(document))
    except Exception as error:  # tokenizers raises bare Exception
        raise ValueError(f"not a tokenizer: {error}") from None


def _is_control(token: dict[str, Any], model: dict[str, Any], template: str) -> bool:
    content = str(token["content"]).replace("\u2581", " ").strip()
    if not content or token["content"] == model.get("unk_token") or token["id"] == model.get("unk_id"):
        return False
    return bool(token.get("special")) or token["content"] in template or any(map(_marks, content))


def _marks(character: str) -> bool:
    """Whether it makes a marker of a word: brackets, bars, whatever nobody writes within a word."""
    return not (character.isspace() or unicodedata.category(character)[0] in "LMN" or character in "'’-_.,")


def _without(document: dict[str, Any], contents: set[str]) -> dict[str, Any]:
    """The tokenizer with these tokens renamed. They keep their places, because ids follow from them."""
    secret = secrets.token_hex(16)
    names = {content: f"{secret}{number}" for number, content in enumerate(sorted(contents))}
    off = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    added = [
        {**token, "content": names[token["content"]], **off} if token["content"] in names else token
        for token in document["added_tokens"]
    ]
    model = dict(document["model"])
    if isinstance(model["vocab"], list):
        model["vocab"] = [[names.get(piece, piece), score] for piece, score in model["vocab"]]
    else:
        model["vocab"] = {names.get(piece, piece): number for piece, number in model["vocab"].items()}
    if "merges" in model:
        pairs = (tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in model["merges"])
        model["merges"] = [list(pair) for pair in pairs if not names.keys() & {*pair, "".join(pair)}]
    return {**document, "added_tokens": added, "model": model}


def _metaspaces(node: Any) -> Iterator[dict[str, Any]]:
    """The Metaspace steps of a pre-tokenizer, sequences looked into."""
    if isinstance(node, dict):
        if node.get("type") == "Metaspace":
            yield node
        for inner in node.get("pretokenizers", ()):
            yield from _metaspaces(inner)


def _prepend_never(metaspace: dict[str, Any]) -> bool:
    """ "first" prepends a blank where the whole input begins, not where a piece of it does. True if it was that."""
    if metaspace.get("prepend_scheme") != "first":
        return False
    metaspace["prepend_scheme"] = "never"
    return True
