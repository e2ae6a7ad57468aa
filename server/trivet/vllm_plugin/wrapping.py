"""Which of our functions stand in the places of vLLM's, where several plugins may wrap the same one."""

from __future__ import annotations

from typing import Any


def wraps(ours: Any, theirs: Any) -> Any:
    """`ours` to put in the place of `theirs`, which it remembers."""
    ours.__wrapped__ = theirs
    return ours


def wrapped_by(function: Any, module: str) -> bool:
    """Whether a function of `module` is `function`, or one of those that it wraps."""
    while function is not None:
        if function.__module__ == module:
            return True
        function = getattr(function, "__wrapped__", None)
    return False
