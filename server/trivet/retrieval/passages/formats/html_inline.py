"""Text inside of one block of HTML: blanks collapse, raised and lowered text is told from what it stands at."""

from __future__ import annotations

from collections.abc import Mapping

_ORDINALS = frozenset(("st", "nd", "rd", "th", "er", "re", "ère", "ème", "tm", "sm", "®"))
_NOT_RAISED = ("[", "(", "*", "†")  # footnotes
_RAISED = {"sup": "^", "sub": "_"}


class InlineText:
    """Pieces of text in order."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._raised: tuple[str, list[str]] | None = None  # the element, and what was before

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """An inline element begins."""
        if tag == "br":
            self._pieces.append("\n")
        elif tag in ("img", "area") and (alternative := attributes.get("alt", "").strip()):
            self._pieces.append(f" {alternative} ")
        elif tag in _RAISED and self._raised is None:
            self._raised = (tag, self._pieces)
            self._pieces = []

    def end(self, tag: str) -> None:
        """An inline element ends."""
        if self._raised is not None and tag == self._raised[0]:
            self._lower()

    def text(self, text: str) -> None:
        """Text."""
        self._pieces.append(text)

    def flat(self) -> str:
        """All of it in one line."""
        return " ".join(self.as_it_stands().split())

    def as_it_stands(self) -> str:
        """All of it with its blanks and line ends, less the empty lines around it."""
        if self._raised is not None:
            self._lower()
        lines = "".join(self._pieces).replace("\xa0", " ").rstrip()
        first = len(lines) - len(lines.lstrip())
        return lines[lines.rfind("\n", 0, first) + 1 :]

    def _lower(self) -> None:
        assert self._raised is not None
        tag, before = self._raised
        text = " ".join("".join(self._pieces).split())
        self._pieces, self._raised = before, None
        if not text:
            return
        mark = _mark(tag, next((piece[-1] for piece in reversed(before) if piece), ""), text)
        self._pieces.append(f"{mark}({text})" if mark and " " in text else mark + text)


def _mark(tag: str, before: str, text: str) -> str:
    """What keeps raised or lowered text apart from the letter before it: 10^3, but 4th and H2O."""
    if not before.isalnum():
        return ""
    if tag == "sup":
        return "" if text.startswith(_NOT_RAISED) or text.lower() in _ORDINALS else "^"
    return "" if before.isalpha() and text.isdigit() else "_"
