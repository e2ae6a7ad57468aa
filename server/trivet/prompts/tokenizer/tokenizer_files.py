"""A tokenizer folder as Hugging Face writes it: `tokenizer.json`, `tokenizer_config.json`, its chat templates."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from trivet.errors import ConfigError

_SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_OTHER_FORMS = ("tokenizer.model", "tekken.json", "vocab.json", "vocab.txt")
_RAW = (
    "{{ begin }}{% for message in messages %}{{ message.content }}"
    "{% if message.role == 'system' %}{{ '\\n\\n' }}{% endif %}{% endfor %}"
)
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


@dataclass(frozen=True, slots=True)
class TokenizerFiles:
    """`document` is the tokenizer.json, with the added tokens that only the configuration names put in.

    `tool_template`: the one for requests with tools, where the folder has one of its own for them.
    """

    document: dict[str, Any]
    template: str
    special_tokens: dict[str, str]
    tool_template: str | None = None


def read_tokenizer_files(folder: Path, template: Path | None = None, named: str | None = None) -> TokenizerFiles:
    """Read a tokenizer folder. `template`: a file to use instead of its own chat templates; `named`: which of these.

    Raises ConfigError naming the file that is missing or broken.
    """
    _require_tokenizer(folder)
    document = _json(folder / "tokenizer.json")
    path = folder / "tokenizer_config.json"
    config = _json(path) if path.exists() else {}
    path = folder / "special_tokens_map.json"
    special = {**(_json(path) if path.exists() else {}), **config}
    special_tokens = dict(_named_tokens(special))
    extra = special.get("additional_special_tokens") or special.get("extra_special_tokens")
    unnamed = [_content(token) for token in extra] if isinstance(extra, list) else []
    _add_configured_tokens(document, config, [*special_tokens.values(), *(token for token in unnamed if token)])
    if template is not None:
        return TokenizerFiles(document, _text(template), special_tokens)
    templates = _templates(folder, config)
    if (chosen := templates.get(named or "default")) is None:
        wanted = f"chat_template_name is {named!r}, expected one of: {', '.join(sorted(templates))}"
        missing = "no such file, expected it, chat_template.json or chat_template in tokenizer_config.json"
        raise ConfigError([f"{folder / 'chat_template.jinja'}:1: {wanted if named and templates else missing}"])
    return TokenizerFiles(document, chosen, special_tokens, None if named else templates.get("tool_use"))


def read_raw_files(folder: Path) -> TokenizerFiles:
    """The same for texts that are continued as they stand: in place of a chat template one that puts nothing around
    them, but the tokens that the tokenizer itself begins a text with, and an empty line behind the operator's text.

    Raises ConfigError naming the file that is missing or broken, ValueError for a tokenizer that is none.
    """
    _require_tokenizer(folder)
    document = _json(folder / "tokenizer.json")
    path = folder / "tokenizer_config.json"
    config = _json(path) if path.exists() else {}
    _add_configured_tokens(document, config, [token for _, token in _named_tokens(config)])
    return TokenizerFiles(document, _RAW, {"begin": _beginning(document)})


def _beginning(document: dict[str, Any]) -> str:
    """The special tokens that the tokenizer's own post-processor puts before a text; those behind it would end it."""
    try:
        tokenizer = Tokenizer.from_str(json.dumps({**document, "truncation": None, "padding": None}))
    except Exception as error:  # tokenizers raises bare Exception
        raise ValueError(f"not a tokenizer: {error}") from None
    special = tokenizer.encode("a").special_tokens_mask
    count = special.index(0) if 0 in special else 0
    return "".join(tokenizer.encode("a").tokens[:count])


def _require_tokenizer(folder: Path) -> None:
    """Raise ConfigError for a folder that has a tokenizer in another form alone, saying how to get this one."""
    path = folder / "tokenizer.json"
    others = (name for name in _OTHER_FORMS if (folder / name).exists())
    if not path.exists() and (other := next(others, None)) is not None:
        made = "transformers makes it: `AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)`"
        raise ConfigError([f"{path}:1: no such file, expected it beside {other}; {made}"])


def _named_tokens(special: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The names that a template knows tokens by: the usual ones, and what else the configuration calls a token."""
    extra = special.get("extra_special_tokens")
    for name, value in {**special, **(extra if isinstance(extra, dict) else {})}.items():
        token = _content(value)
        if token is not None and (
            name in _SPECIAL or name.endswith("_token") or (isinstance(extra, dict) and name in extra)
        ):
            yield name, token


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


def _templates(folder: Path, config: dict[str, Any]) -> dict[str, str]:
    """By name; what has no other name is "default". Files go before what the configuration says, as in transformers."""
    found: dict[str, str] = {}
    path = folder / "chat_template.json"
    for said in (_json(path) if path.exists() else {}, config):
        template = said.get("chat_template")
        if isinstance(template, str):
            found["default"] = template
        entries = template if isinstance(template, list) else ()
        found |= {
            str(entry["name"]): str(entry["template"]) for entry in entries if {"name", "template"} <= entry.keys()
        }
    others = folder / "additional_chat_templates"
    found |= {path.stem: _text(path) for path in (sorted(others.glob("*.jinja")) if others.is_dir() else ())}
    path = folder / "chat_template.jinja"
    return {**found, "default": _text(path)} if path.exists() else found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}:1: {error}, expected a chat template in UTF-8"]) from None


def _add_configured_tokens(document: dict[str, Any], config: dict[str, Any], special_tokens: Sequence[str]) -> None:
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
    for content in special_tokens:
        if content not in known and content in vocabulary:
            flags = {**dict.fromkeys(_FLAGS, False), "special": True}
            added.append({"id": vocabulary[content], "content": content, **flags})
            known.add(content)
    added.sort(key=lambda token: int(token["id"]))
