"""`adapter.yaml`: what an adapter says about itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trivet.errors import AdapterRejected
from trivet.types.variant import VersionRef

FILE = "adapter.yaml"
FIELDS = ("name", "version", "base", "rank", "digest", "recipe", "data", "metrics", "cost", "libraries", "created")
MAPPINGS = ("recipe", "data", "metrics", "cost", "libraries")  # for people: how it was made, what it is worth
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Manifest:
    """`digest`: SHA-256 over `adapter_config.json` and `adapter_model.safetensors`. `base_fingerprint` may be empty."""

    rank: int
    digest: str
    base_fingerprint: str


def read_manifest(path: Path, ref: VersionRef) -> Manifest:
    """Read and check the manifest of `ref`; raises AdapterRejected with the field, what it has and what it should."""
    return parse_manifest(path.read_bytes(), ref)


def parse_manifest(text: bytes, ref: VersionRef) -> Manifest:
    """As `read_manifest`, of a file's bytes."""
    try:
        content = yaml.safe_load(text.decode())
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as problem:
        raise AdapterRejected(f"{FILE}: is not sound YAML: {problem}") from problem
    if not isinstance(content, dict):
        raise AdapterRejected(f"{FILE}: is a {type(content).__name__}, expected a mapping")
    unknown = sorted(str(field) for field in set(content) - set(FIELDS))
    if unknown:
        raise AdapterRejected(f"{FILE}: unknown field {unknown[0]!r}, expected only {', '.join(FIELDS)}")
    for field, expected in (("name", ref.name), ("version", ref.version)):
        if content.get(field, expected) != expected:
            raise AdapterRejected(f"{FILE}: {field} is {content[field]!r}, expected {expected!r} as in the folder")
    for field in MAPPINGS:
        if not isinstance(content.get(field, {}), dict):
            raise AdapterRejected(f"{FILE}: {field} is {content[field]!r}, expected a mapping")
    rank = content.get("rank")
    if type(rank) is not int or rank < 1:
        raise AdapterRejected(f"{FILE}: rank is {rank!r}, expected a positive integer")
    return Manifest(rank, _hex(content, "digest", "digest"), _base(content))


def _base(content: Mapping[str, Any]) -> str:
    base = content.get("base", {})
    if not isinstance(base, dict) or set(base) - {"name", "fingerprint"}:
        raise AdapterRejected(f"{FILE}: base is {base!r}, expected a mapping with name and fingerprint")
    return _hex(base, "fingerprint", "base.fingerprint") if "fingerprint" in base else ""


def _hex(content: Mapping[str, Any], key: str, field: str) -> str:
    value = content.get(key)
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise AdapterRejected(f"{FILE}: {field} is {value!r}, expected 64 hex digits (SHA-256)")
    return value
