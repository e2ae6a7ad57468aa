"""Fingerprints of a model's folder, by which machines find out whether they have the same one.

A model may have hundreds of gigabytes, so of its weights some samples are hashed: training changes matrices everywhere,
so another model differs in nearly every one of them. It tells a mistake, not a forgery.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

SAMPLES = 64  # of each file of the weights
SAMPLE_BYTES = 64 << 10
HEADER_BYTES = 1 << 20
_TOKENIZER = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "added_tokens.json",
    "special_tokens_map.json",
)
_WEIGHTS = ("*.safetensors", "*.bin", "*.gguf")


def tokenizer_fingerprint(folder: Path) -> str:
    """SHA-256 of the files by which text becomes ids, whatever the chat template; blocks. OSError if one is unreadable.

    A folder without any has the fingerprint of no files.
    """
    total = hashlib.sha256()
    for name in _TOKENIZER:
        path = folder / name
        if path.is_file():
            total.update(f"{name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def model_fingerprint(folder: Path) -> str:
    """SHA-256 of the configuration and of samples of the weights; blocks. Empty for a folder without weights.

    OSError if a file is unreadable.
    """
    files = sorted({path for pattern in _WEIGHTS for path in folder.glob(pattern)})
    if not files:
        return ""
    total = hashlib.sha256(_configuration(folder))
    for path in files:
        size = path.stat().st_size
        total.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            total.update(file.read(HEADER_BYTES))
            for sample in range(SAMPLES):
                file.seek(max(0, (size - SAMPLE_BYTES) * sample // (SAMPLES - 1)))
                total.update(file.read(SAMPLE_BYTES))
    return total.hexdigest()


def _configuration(folder: Path) -> bytes:
    """The model's `config.json`, whatever the order of its fields, without what tells where it came from."""
    values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return json.dumps(
        {name: value for name, value in values.items() if name != "_name_or_path"}, sort_keys=True
    ).encode()
