"""What is taken out of texts before they are stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module

from trivet.errors import FailedPrecondition
from trivet.types.text.personal_data import find_personal_data

Hook = Callable[[str], str]


class Redactor:
    """Replaces what identifies a person by what it was: `[email]`, `[card]`, `[phone]`. Then a team's own hook."""

    def __init__(self, kinds: Iterable[str], hook: Hook | None = None) -> None:
        self._kinds = frozenset(kinds)
        self._hook = hook

    def redact(self, text: str) -> str:
        """Raises whatever the hook raises, and TypeError if it gives no text."""
        pieces, end = [], 0
        for found in sorted(find_personal_data(text), key=lambda found: found.start) if self._kinds else ():
            if found.kind in self._kinds and found.start >= end:
                pieces += [text[end : found.start], f"[{found.kind}]"]
                end = found.end
        text = "".join([*pieces, text[end:]])
        if self._hook is None:
            return text
        said = self._hook(text)
        if not isinstance(said, str):
            raise TypeError(f"the redaction hook gave {type(said).__name__}, expected a text")
        return said


def load_hook(name: str) -> Hook:
    """The function `package.module:function`; FailedPrecondition, naming it, if there is none."""
    module, _, function = name.partition(":")
    try:
        hook = getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise FailedPrecondition(f"the redaction hook {name} cannot be had: {error}") from error
    if not callable(hook):
        raise FailedPrecondition(f"the redaction hook {name} is a {type(hook).__name__}, expected a function")
    found: Hook = hook
    return found
