"""How many bytes of text one token can stand for: what has more bytes than tokens times this can never fit.

The bound is proven from tokenizer.json where every byte of a text ends in some token: a byte-level vocabulary, or one
with a fallback to bytes or to an unknown token for each single character, behind steps that drop nothing. Elsewhere (a
normalizer that deletes characters, one unknown token for a whole run of them) no bound holds for every text, and
`GENEROUS` stands in: no text that people write has so few tokens.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

GENEROUS = 64
_SHRINKING = 4  # to how many-th of its bytes Unicode's normal forms and lower case can bring a text
_KEEPING_PRE_TOKENIZERS = {"ByteLevel", "Digits", "FixedLength", "Metaspace", "Punctuation", "Split", "UnicodeScripts"}
_SHRINKING_NORMALIZERS = {"NFC", "NFD", "NFKC", "NFKD", "Lowercase"}
_KEEPING_NORMALIZERS = {"ByteLevel", "Prepend", "Replace", *_SHRINKING_NORMALIZERS}
_BYTES = 256


def bytes_per_token(document: dict[str, Any], controls: Collection[str]) -> int:
    """For a parsed tokenizer.json. `controls`: added tokens that no text becomes."""
    normalizers = list(_steps(document.get("normalizer"), "normalizers"))
    pre_tokenizers = list(_steps(document.get("pre_tokenizer"), "pretokenizers"))
    byte_level = any(step["type"] == "ByteLevel" for step in (*normalizers, *pre_tokenizers))
    pieces = [piece for piece in _vocabulary(document["model"]) if piece not in controls]
    texts = [token for token in document.get("added_tokens", ()) if token["content"] not in controls]
    longest = max((len(piece) if byte_level else len(piece.encode("utf-8", "replace")) for piece in pieces), default=1)
    longest = max([longest, *(len(token["content"].encode("utf-8", "replace")) for token in texts)])
    proven = (
        all(_keeps(step) for step in pre_tokenizers)
        and all(_keeps_characters(step) for step in normalizers)
        and not any(token.get("lstrip") or token.get("rstrip") for token in texts)
        and _knows_every_byte(document["model"], pieces, byte_level)
    )
    if not proven:
        return max(GENEROUS, longest)
    return longest * (_SHRINKING if any(step["type"] in _SHRINKING_NORMALIZERS for step in normalizers) else 1)


def has_more_bytes(texts: Sequence[str], most: int) -> bool:
    """Whether the texts, less the blanks around each (a chat template may trim them off), have more UTF-8 bytes."""
    if sum(map(len, texts)) <= most // 4:
        return False  # a character has four bytes at most
    trimmed = [text.strip() for text in texts]
    return sum(map(len, trimmed)) > most or sum(len(text.encode()) for text in trimmed) > most


def _steps(node: Any, inner: str) -> Iterator[dict[str, Any]]:
    """The steps of a normalizer or a pre-tokenizer, sequences looked into."""
    if not isinstance(node, dict):
        return
    if node.get("type") != "Sequence":
        yield node
    for step in node.get(inner, ()) if node.get("type") == "Sequence" else ():
        yield from _steps(step, inner)


def _vocabulary(model: dict[str, Any]) -> list[str]:
    vocabulary = model["vocab"]
    return [piece for piece, _ in vocabulary] if isinstance(vocabulary, list) else list(vocabulary)


def _keeps(pre_tokenizer: dict[str, Any]) -> bool:
    return pre_tokenizer["type"] in _KEEPING_PRE_TOKENIZERS and pre_tokenizer.get("behavior") != "Removed"


def _keeps_characters(normalizer: dict[str, Any]) -> bool:
    if normalizer["type"] == "Replace":
        pattern = normalizer.get("pattern", {}).get("String")
        return pattern is not None and len(normalizer["content"].encode()) >= len(pattern.encode())
    return normalizer["type"] in _KEEPING_NORMALIZERS


def _knows_every_byte(model: dict[str, Any], pieces: Collection[str], byte_level: bool) -> bool:
    """Nothing of a text is left out, and no token stands for a run of unknown characters of any length."""
    if byte_level:
        return sum(len(piece) == 1 for piece in pieces) >= _BYTES
    if model.get("byte_fallback"):
        return all(f"<0x{byte:02X}>" in pieces for byte in range(_BYTES))
    return model.get("type") == "BPE" and model.get("unk_token") is not None and not model.get("fuse_unk")
