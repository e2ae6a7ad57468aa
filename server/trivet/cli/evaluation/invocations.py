"""Where activated adapters are invoked in the prompt of a suite's general part, which is one for all weights."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import yaml

from trivet.evaluation.arms import Arm
from trivet.prompts.template.parser import read_prompt
from trivet.prompts.template.source import InvocationPlace
from trivet.types.variant import VersionRef

_FENCE = "---"


class Invocations:
    """Each adapter is invoked in the general part as in its own arm's prompt: the same words would not invoke it else.

    `prompts`: of the suite's own arms, with their files. Raises ConfigError for a file that is no prompt.
    """

    def __init__(self, prompts: Iterable[tuple[Arm, Path]]) -> None:
        self._places = {arm.adapter: _place(arm, source) for arm, source in prompts if arm.adapter is not None}

    def write(self, source: Path, arm: Arm, target: Path) -> bool:
        """Write `source` as this arm needs it; False, and nothing written, if it can stay as it is."""
        wanted = self._places.get(arm.adapter or "")
        if wanted is None or wanted is _place(arm, source):
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(invoked_at(source.read_text(encoding="utf-8-sig"), wanted), encoding="utf-8")
        return True


def invoked_at(prompt: str, place: InvocationPlace) -> str:
    """A prompt file that invokes an adapter at `place`, and says all else as `prompt` does."""
    lines = prompt.replace("\r\n", "\n").split("\n")
    fences = [number for number, line in enumerate(lines) if line.rstrip() == _FENCE]
    end = fences[1] if fences[:1] == [0] else 0
    head = (yaml.safe_load("\n".join(lines[1:end])) if end else None) or {}
    head["invocation"] = place.value
    said = yaml.safe_dump(head, sort_keys=False, allow_unicode=True)
    return "\n".join([_FENCE, said + _FENCE, *lines[end + 1 if end else 0 :]])


def _place(arm: Arm, source: Path) -> InvocationPlace:
    return read_prompt(VersionRef.parse(arm.prompt), source).invocation
