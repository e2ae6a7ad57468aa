"""Patterns of adapters' names: which adapters the requests of a variant may be answered with."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from trivet.types.text.names import NAME

_TENANT, _LABEL, _ANY = "{tenant}", "{label}", "*"
MAX_PATTERN = 128  # characters
_ADAPTER_NAME = re.compile(NAME)
_ADAPTER_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_PIECES = re.compile(r"\{tenant\}|\{label\}|\*|[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Glob:
    """Text that begins with `head`, ends with `tail` and has at least one character between them.

    Without a `tail` the head is all of it.
    """

    head: str
    tail: str | None = None

    def fits(self, text: str) -> bool:
        """Whether this text is one of them. Upper and lower case differ."""
        if self.tail is None:
            return text == self.head
        longer = len(text) > len(self.head) + len(self.tail)
        return longer and text.startswith(self.head) and text.endswith(self.tail)

    def meets(self, other: Glob) -> bool:
        """Whether any text fits both."""
        if self.tail is None:
            return other.fits(self.head)
        if other.tail is None:
            return self.fits(other.head)
        heads = self.head.startswith(other.head) or other.head.startswith(self.head)
        return heads and (self.tail.endswith(other.tail) or other.tail.endswith(self.tail))


@dataclass(frozen=True, slots=True)
class BoundPattern:
    """A pattern with its tenant and label put in."""

    name: Glob
    version: Glob

    def fits(self, name: str, version: str) -> bool:
        """Whether it is for the adapter `name@version`; nothing that is no name and no version fits."""
        return AdapterPattern.is_legal(name, version) and self.name.fits(name) and self.version.fits(version)

    def meets(self, other: BoundPattern) -> bool:
        """Whether an adapter may fit both."""
        return self.name.meets(other.name) and self.version.meets(other.version)


@dataclass(frozen=True, slots=True)
class AdapterPattern:
    """`name@version` with, in each part, at most one `{tenant}` and at most one of `*` and `{label}`.

    `*` stands for one or more characters of a name. Nothing is normalised: what looks alike is not alike.
    """

    text: str

    TENANT: ClassVar[str] = _TENANT
    LABEL: ClassVar[str] = _LABEL
    ANY: ClassVar[str] = _ANY

    @staticmethod
    def is_legal(name: str, version: str) -> bool:
        """Whether an adapter may have this name and version."""
        return bool(_ADAPTER_NAME.fullmatch(name) and _ADAPTER_VERSION.fullmatch(version))

    @classmethod
    def parse(cls, text: str) -> AdapterPattern:
        """Raises ValueError for what is no pattern."""
        if not 1 <= len(text) <= MAX_PATTERN:
            raise ValueError(f"has {len(text)} characters, expected 1 to {MAX_PATTERN}")
        name, at, version = text.partition("@")
        for part in (name, version):
            pieces = _PIECES.findall(part)
            if not at or not part or "".join(pieces) != part:
                raise ValueError(
                    "expected name@version of letters, digits, '.', '_' and '-', with {tenant}, {label} or * in them"
                )
            if pieces.count(_TENANT) > 1 or pieces.count(_LABEL) + pieces.count(_ANY) > 1:
                raise ValueError("expected at most one {tenant}, and at most one of {label} and *, on each side of '@'")
        if name != name.lower():
            raise ValueError("has an upper-case letter in the name, and names have none")
        return cls(text)

    def has(self, piece: str) -> bool:
        """Whether `{tenant}`, `{label}` or `*` is in it."""
        return piece in self.text

    def bind(self, tenant: str, label: str = "") -> BoundPattern:
        """With this tenant and label; without a label any will do."""
        text = self.text.replace(_TENANT, tenant)
        name, _, version = text.replace(_LABEL, label or _ANY).partition("@")
        return BoundPattern(_glob(name), _glob(version))

    def of_anybody(self) -> BoundPattern:
        """Wider than what any tenant may use: from the text before the first variable to the text after the last."""
        name, _, version = self.text.replace(_TENANT, _ANY).replace(_LABEL, _ANY).partition("@")
        return BoundPattern(_glob(name), _glob(version))

    def exact(self, tenant: str, label: str = "") -> tuple[str, str] | None:
        """The one adapter of a pattern without `*`; None if that would be no name and version."""
        name, _, version = self.text.replace(_TENANT, tenant).replace(_LABEL, label).partition("@")
        return (name, version) if self.is_legal(name, version) else None

    def __str__(self) -> str:
        return self.text


def shared_between(patterns: Iterable[AdapterPattern], tenants: Iterable[str]) -> tuple[str, str, str, str] | None:
    """The first two tenants that these patterns let use the same adapter, each with its pattern; None if none do.

    A pattern without `{tenant}` is everybody's, whose name is `*`. Takes time in proportion to tenants times patterns,
    but for names of which one begins with another.
    """
    found = sorted(_owned(list(patterns), tenants), key=lambda one: one[0].name.head)
    open_: list[tuple[BoundPattern, str, str]] = []  # those with whose head the present one's begins
    for bound, owner, text in found:
        while open_ and not bound.name.head.startswith(open_[-1][0].name.head):
            open_.pop()
        for other, other_owner, other_text in open_:
            if other_owner != owner and bound.meets(other):
                return other_owner, other_text, owner, text
        open_.append((bound, owner, text))
    return None


def _owned(patterns: list[AdapterPattern], tenants: Iterable[str]) -> Iterator[tuple[BoundPattern, str, str]]:
    for pattern in patterns:
        if not pattern.has(_TENANT):
            yield pattern.bind(""), _ANY, pattern.text
    for tenant in sorted(set(tenants)):
        for pattern in patterns:
            if pattern.has(_TENANT):
                yield pattern.bind(tenant), tenant, pattern.text


def _glob(text: str) -> Glob:
    if _ANY not in text:
        return Glob(text)
    return Glob(text[: text.index(_ANY)], text[text.rindex(_ANY) + 1 :])
