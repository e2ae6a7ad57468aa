"""Patterns of paths, much as in a `.gitignore`."""

from __future__ import annotations

import fnmatch
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

MAX_PATTERN = 256  # characters
_ANY = "**"


@dataclass(frozen=True, slots=True)
class PathPattern:
    """A pattern of paths relative to a folder. Matching takes time in proportion to the pattern times the path.

    `*`, `?` and `[...]` stand for characters within a name, `**` between slashes for any number of folders. A pattern
    without a slash, but for one at its end, fits a name in any folder; others begin at the folder. One that ends in a
    slash fits folders alone. Upper and lower case differ.
    """

    text: str
    parts: tuple[re.Pattern[str] | None, ...]  # None for any number of folders
    folders_only: bool

    @classmethod
    def parse(cls, text: str) -> PathPattern:
        """Raises ValueError for what is no pattern, or would mean something else in a `.gitignore`."""
        if not 1 <= len(text) <= MAX_PATTERN:
            raise ValueError(f"has {len(text)} characters, expected 1 to {MAX_PATTERN}")
        if text.startswith("!") or "\\" in text:
            raise ValueError("has a '!' at its beginning or a '\\', expected [!] for the character, and no exceptions")
        body = unicodedata.normalize("NFC", text).removesuffix("/")
        names = body.removeprefix("/").split("/")
        if any(name in ("", ".", "..") for name in names):
            raise ValueError("has an empty part, or one that is '.' or '..', between slashes")
        if any(_ANY in name and name != _ANY for name in names):
            raise ValueError("has '**' beside other characters, expected it alone between slashes")
        if "/" not in body:
            names.insert(0, _ANY)
        parts = tuple(None if name == _ANY else re.compile(fnmatch.translate(name)) for name in names)
        return cls(text, parts, text.endswith("/"))

    def fits(self, path: Sequence[str], *, folder: bool) -> bool:
        """Whether the path of these names fits. A `**` at the end stands for at least one name."""
        if self.folders_only and not folder:
            return False
        names = [unicodedata.normalize("NFC", part) for part in path]
        at = name = 0
        retry: tuple[int, int] | None = None  # where to go on if the last `**` has to stand for one name more
        while name < len(names):
            part = self.parts[at] if at < len(self.parts) else None
            if at < len(self.parts) and part is None:
                if at == len(self.parts) - 1:
                    return True
                retry = (at + 1, name)
                at += 1
            elif part is not None and part.match(names[name]):
                at, name = at + 1, name + 1
            elif retry is not None:
                retry = (retry[0], retry[1] + 1)
                at, name = retry
            else:
                return False
        return at == len(self.parts)
