"""`adapter.yaml`: what an adapter says about itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trivet import bounded_yaml
from trivet.errors import AdapterRejected
from trivet.excerpt import quote_masked
from trivet.types.variant import VersionRef

FILE = "adapter.yaml"
FIELDS = (
    *(
        "name",
        "version",
        "kind",
        "invocation",
        "base",
        "rank",
        "digest",
        "source",
        "recipe",
        "data",
        "metrics",
        "cost",
        "libraries",
    ),
    "created",
)
KINDS = ("lora", "alora")
MAPPINGS = ("source", "recipe", "data", "metrics", "cost", "libraries")  # for people: how it was made, what it is worth
MAX_BYTES = 64 << 10
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Manifest:
    """`digest`: SHA-256 over `adapter_config.json` and `adapter_model.safetensors`. `base_fingerprint` may be empty.

    `source`: where it is from, for people, and for a copy of what a hub has. `invocation`: of kind alora, the token ids
    from which on it acts.
    """

    rank: int
    digest: str
    base_fingerprint: str
    source: Mapping[str, Any]
    invocation: tuple[int, ...] = ()


def read_manifest(path: Path, ref: VersionRef) -> Manifest:
    """Read and check the manifest of `ref`; raises AdapterRejected with the field, what it has and what it should."""
    return parse_manifest(path.read_bytes(), ref)


def parse_manifest(text: bytes, ref: VersionRef) -> Manifest:
    """As `read_manifest`, of a file's bytes."""
    try:
        content = bounded_yaml.load(text.decode(), aliases=False, max_bytes=MAX_BYTES)
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        raise AdapterRejected(f"{FILE}: is not sound YAML: {' '.join(str(problem).split())}") from problem
    if not isinstance(content, dict):
        raise AdapterRejected(f"{FILE}: is a {type(content).__name__}, expected a mapping")
    unknown = sorted(str(field) for field in set(content) - set(FIELDS))
    if unknown:
        raise AdapterRejected(f"{FILE}: unknown field {quote_masked(unknown[0])}, expected only {', '.join(FIELDS)}")
    for field, expected in (("name", ref.name), ("version", ref.version)):
        if content.get(field, expected) != expected:
            raise AdapterRejected(
                f"{FILE}: {field} is {quote_masked(content[field])}, expected {expected!r} as in the folder"
            )
    for field in MAPPINGS:
        if not isinstance(content.get(field, {}), dict):
            raise AdapterRejected(f"{FILE}: {field} is {quote_masked(content[field])}, expected a mapping")
    rank = content.get("rank")
    if type(rank) is not int or rank < 1:
        raise AdapterRejected(f"{FILE}: rank is {quote_masked(rank)}, expected a positive integer")
    digest, source = _hex(content, "digest", "digest"), content.get("source", {})
    return Manifest(rank, digest, _base(content), source, _invocation(content))


def _invocation(content: Mapping[str, Any]) -> tuple[int, ...]:
    kind, value = content.get("kind", KINDS[0]), content.get("invocation")
    if kind not in KINDS:
        raise AdapterRejected(f"{FILE}: kind is {quote_masked(kind)}, expected {' or '.join(KINDS)}")
    if kind != "alora":
        if value is not None:
            raise AdapterRejected(f"{FILE}: invocation is {quote_masked(value)}, expected it of kind alora alone")
        return ()
    if not isinstance(value, list) or not value or not all(type(token) is int for token in value):
        raise AdapterRejected(
            f"{FILE}: invocation is {quote_masked(value)}, expected token ids as in PEFT's configuration"
        )
    return tuple(value)


def _base(content: Mapping[str, Any]) -> str:
    base = content.get("base", {})
    if not isinstance(base, dict) or set(base) - {"name", "fingerprint"}:
        raise AdapterRejected(f"{FILE}: base is {quote_masked(base)}, expected a mapping with name and fingerprint")
    return _hex(base, "fingerprint", "base.fingerprint") if "fingerprint" in base else ""


def _hex(content: Mapping[str, Any], key: str, field: str) -> str:
    value = content.get(key)
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise AdapterRejected(f"{FILE}: {field} is {quote_masked(value)}, expected 64 hex digits (SHA-256)")
    return value
