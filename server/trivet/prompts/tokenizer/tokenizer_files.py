"""A tokenizer folder as Hugging Face writes it: `tokenizer.json`, `tokenizer_config.json`, `chat_template.jinja`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trivet.errors import ConfigError

_SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


@dataclass(frozen=True, slots=True)
class TokenizerFiles:
    """`document` is the tokenizer.json, with the added tokens that only the configuration names put in."""

    document: dict[str, Any]
    template: str
    special_tokens: dict[str, str]


def read_tokenizer_files(folder: Path, template: Path | None = None) -> TokenizerFiles:
    """Read a tokenizer folder; `template` is a file to use instead of its own chat template.

    Raises ConfigError naming the file that is missing or broken.
    """
    document = _json(folder / "tokenizer.json")
    path = folder / "tokenizer_config.json"
    config = _json(path) if path.exists() else {}
    path = folder / "special_tokens_map.json"
    special = {**(_json(path) if path.exists() else {}), **config}
    special_tokens = {name: token for name in _SPECIAL if (token := _content(special.get(name))) is not None}
    _add_configured_tokens(document, config, special_tokens)
    chosen = _template(folder, config) if template is None else _text(template)
    return TokenizerFiles(document, chosen, special_tokens)


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError([f"{path}:1: {error.strerror or error}, expected a Hugging Face tokenizer folder"]) from None
    except ValueError as error:
        raise ConfigError([f"{path}:{getattr(error, 'lineno', 1)}: {error}, expected JSON"]) from None
    if not isinstance(value, dict):
        raise ConfigError([f"{path}:1: {type(value).__name__}, expected a JSON object"])
    return value


def _content(token: Any) -> str | None:
    """A token is written as a string or as an object with `content`."""
    if isinstance(token, dict):
        token = token.get("content")
    return token if isinstance(token, str) else None


def _template(folder: Path, config: dict[str, Any]) -> str:
    path = folder / "chat_template.jinja"
    if path.exists():
        return _text(path)
    template = config.get("chat_template")
    if isinstance(template, list):
        template = next((entry.get("template") for entry in template if entry.get("name") == "default"), None)
    if not isinstance(template, str):
        raise ConfigError([f"{path}:1: no such file, expected it or chat_template in tokenizer_config.json"])
    return template


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}:1: {error}, expected a chat template in UTF-8"]) from None


def _add_configured_tokens(document: dict[str, Any], config: dict[str, Any], special_tokens: dict[str, str]) -> None:
    """Tokens that tokenizer_config.json alone names are added tokens too: transformers adds them on load."""
    added: list[dict[str, Any]] = document.setdefault("added_tokens", [])
    known = {token["content"] for token in added}
    decoder = config.get("added_tokens_decoder")
    for number, token in sorted(decoder.items(), key=lambda item: int(item[0])) if isinstance(decoder, dict) else ():
        if isinstance(token, dict) and (content := _content(token)) and content not in known:
            added.append({"id": int(number), "content": content, **{flag: bool(token.get(flag)) for flag in _FLAGS}})
            known.add(content)
    vocabulary = document.get("model", {}).get("vocab", {})
    if isinstance(vocabulary, list):  # Unigram: [piece, score] by id
        vocabulary = {piece: number for number, (piece, _) in enumerate(vocabulary)}
    for content in special_tokens.values():
        if content not in known and content in vocabulary:
            flags = {**dict.fromkeys(_FLAGS, False), "special": True}
            added.append({"id": vocabulary[content], "content": content, **flags})
            known.add(content)
    added.sort(key=lambda token: int(token["id"]))
