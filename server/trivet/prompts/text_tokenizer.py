"""Text to token ids, twice: as Hugging Face does it, and so that nothing in the text can become a control token.

A control token is an added token, special or not, that is more than blanks (some vocabularies keep runs of blanks among
the added tokens; those are text) and is not the unknown token. The second tokenizer is the first with every control
token renamed to a random name: in the added tokens, in the model's vocabulary and in the merges that would make it.
Ids stay as they are.
"""

from __future__ import annotations

import copy
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tokenizers import Encoding, Tokenizer


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

    def __init__(self, document: dict[str, Any]) -> None:
        """`document`: the parsed tokenizer.json. Raises ValueError if it cannot be loaded."""
        document = {**document, "truncation": None, "padding": None, "post_processor": None}
        controls = [token for token in document["added_tokens"] if _is_control(token, document["model"])]
        self._flags = {int(token["id"]): (bool(token["lstrip"]), bool(token["rstrip"])) for token in controls}
        self.control_ids = frozenset(self._flags)
        plain = _without(document, {str(token["content"]) for token in controls})
        inner = copy.deepcopy(plain["pre_tokenizer"])
        changed = [_prepend_never(node) for node in _metaspaces(inner)]
        self._full = _load(document)
        self._initial = _load(plain)
        self._inner = _load({**plain, "pre_tokenizer": inner}) if any(changed) else self._initial

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
        encoding = (self._initial if initial else self._inner).encode(text, add_special_tokens=False)
        if not self.control_ids.isdisjoint(encoding.ids):
            raise RuntimeError("a control token came out of plain text")
        return encoding


def _load(document: dict[str, Any]) -> Tokenizer:
    try:
        return Tokenizer.from_str(json.dumps(document))
    except Exception as error:  # tokenizers raises bare Exception
        raise ValueError(f"not a tokenizer: {error}") from None


def _is_control(token: dict[str, Any], model: dict[str, Any]) -> bool:
    if not str(token["content"]).replace("\u2581", " ").strip():
        return False
    return bool(token["content"] != model.get("unk_token") and token["id"] != model.get("unk_id"))


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
