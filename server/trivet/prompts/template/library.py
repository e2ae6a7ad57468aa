"""The prompts folder, read whole at start: `<name>/<version>.md`."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from trivet.errors import ConfigError, NotFound
from trivet.prompts.template.parser import read_prompt
from trivet.prompts.template.source import PromptSource
from trivet.types.variant import VersionRef

logger = logging.getLogger(__name__)

PROVENANCE = ".provenance.json"  # beside a version that was compiled: where it comes from
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class PromptLibrary:
    """All versions of all prompts. Immutable: a later edit of a file changes nothing until the next start."""

    def __init__(self, prompts: Mapping[VersionRef, PromptSource]) -> None:
        self._prompts = MappingProxyType(dict(prompts))

    @classmethod
    def load(cls, folder: Path) -> PromptLibrary:
        """Read every file; raises ConfigError with all problems of all files. What is no prompt's file is ignored."""
        library, problems = cls.load_partly(folder)
        if problems:
            raise ConfigError(problems)
        return library

    @classmethod
    def load_partly(cls, folder: Path) -> tuple[PromptLibrary, list[str]]:
        """Those that can be read, and all problems of the others."""
        problems: list[str] = []
        prompts: dict[VersionRef, PromptSource] = {}
        for path in _files(folder, problems):
            ref = VersionRef(path.parent.name, path.stem)
            try:
                prompts[ref] = read_prompt(ref, path)
            except ConfigError as error:
                problems += error.problems
        return cls(prompts), problems

    @property
    def refs(self) -> tuple[VersionRef, ...]:
        """All versions, by name and version."""
        return tuple(sorted(self._prompts))

    def get(self, ref: VersionRef) -> PromptSource:
        """One version; raises NotFound."""
        try:
            return self._prompts[ref]
        except KeyError:
            known = ", ".join(str(other) for other in self.refs) or "none"
            raise NotFound(f"no prompt {ref}; known: {known}") from None


def _files(folder: Path, problems: list[str]) -> list[Path]:
    """The prompt files in order."""
    if not folder.is_dir():
        problems.append(f"{folder}:1: no such folder, expected <name>/<version>.md in it")
        return []
    found: list[Path] = []
    strays: list[Path] = []
    for child in sorted(folder.iterdir()):
        if not child.is_dir() or not _SAFE_NAME.fullmatch(child.name):
            strays.append(child)
            continue
        for path in sorted(child.iterdir()):
            fits = path.is_file() and path.suffix == ".md" and path.stem != "README" and _SAFE_NAME.fullmatch(path.stem)
            (found if fits else strays).append(path)
    for path in strays:
        if path.name != "README.md" and not path.name.startswith(".") and not path.name.endswith(PROVENANCE):
            # Editors leave copies everywhere: they must not keep a server from starting.
            logger.warning("%s is ignored: it is not a prompt, which is <name>/<version>.md", path)
    return found
