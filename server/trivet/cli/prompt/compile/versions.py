"""The next version of a prompt, and where it comes from."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

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
    writes versions at the same time; then nothing of theirs is touched.
    """
    ref = VersionRef(folder.name, next_version(folder))
    aside = f".{ref.version}.{uuid4().hex}"
    fresh, told = folder / f"{aside}.compiled", folder / f"{aside}{PROVENANCE}"
    try:
        fresh.write_text(text, encoding="utf-8")
        read_prompt(ref, fresh)
        told.write_text(json.dumps(provenance, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        os.link(fresh, folder / f"{ref.version}.md")  # fails if it is there, which a rename would not
        told.rename(folder / f"{ref.version}{PROVENANCE}")  # whoever has the version has its provenance
    except FileExistsError as error:
        raise FailedPrecondition(f"{ref} was written by somebody else meanwhile: compile again") from error
    finally:
        for path in (fresh, told):
            path.unlink(missing_ok=True)
    return ref
