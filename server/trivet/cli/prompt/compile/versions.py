"""The next version of a prompt, and where it comes from."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trivet.errors import FailedPrecondition
from trivet.prompts.template.library import PROVENANCE
from trivet.prompts.template.parser import read_prompt
from trivet.types.variant import VersionRef


def next_version(folder: Path) -> str:
    """One more than the largest whole number that is a version's name."""
    taken = [int(path.stem) for path in folder.glob("*.md") if path.stem.isascii() and path.stem.isdecimal()]
    return str(max(taken, default=0) + 1)


def publish(folder: Path, text: str, provenance: Mapping[str, Any]) -> VersionRef:
    """Write `text` as the next version, with its provenance beside it; no version is ever written over.

    `folder`: of the prompt. ConfigError if the text cannot be read as a prompt, FailedPrecondition if somebody else
    writes versions at the same time.
    """
    ref = VersionRef(folder.name, next_version(folder))
    fresh = folder / f".{ref.version}.compiled"
    fresh.write_text(text, encoding="utf-8")
    try:
        read_prompt(ref, fresh)
        told = folder / f"{ref.version}{PROVENANCE}"
        told.write_text(json.dumps(provenance, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        os.link(fresh, folder / f"{ref.version}.md")  # fails if it is there, which a rename would not
    except FileExistsError as error:
        raise FailedPrecondition(f"{ref} was written by somebody else meanwhile: compile again") from error
    finally:
        fresh.unlink()
    return ref
