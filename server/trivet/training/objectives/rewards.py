"""Rewards that can be verified: an answer is judged as an evaluation would judge it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from trivet.evaluation.data import Example as Asked
from trivet.evaluation.metrics import score
from trivet.evaluation.outcomes import Outcome
from trivet.evaluation.reply import Form, ReplyReader
from trivet.training.recipe import Rewarded

_CITED = re.compile(r"\[([^\[\]]{1,255})\]")


class Judge:
    """Rewards answers by the metrics of `trivet.evaluation.metrics`."""

    def __init__(self, rewarded: Rewarded) -> None:
        schema = None if rewarded.json_schema is None else dict(rewarded.json_schema)
        form = Form(schema, rewarded.value, rewarded.found, rewarded.unknown, rewarded.labels)
        self._reader = ReplyReader(form)
        self._labelled = bool(rewarded.labels)
        self._judged = rewarded.judged

    def asked(self, name: str, question: str, right: str, documents: Sequence[str] = ()) -> Asked:
        """A question with what is right about its answer, read out of a right answer.

        ValueError if none of the rewards applies to it.
        """
        reply = self._reader.read(right)
        answers = None if self._labelled else () if reply.unknown else (reply.value,)
        label = reply.value.strip() if self._labelled else None
        made = Asked(name, question, answers, tuple(documents), label)
        if not self._applying(made, right):
            raise ValueError(f"none of the rewards {', '.join(self._judged)} applies to it")
        return made

    def reward(self, asked: Asked, text: str) -> float:
        """Between 0 and 1: the share of the rewards that apply and hold."""
        found = self._applying(asked, text)
        return sum(found) / len(found)

    def _applying(self, asked: Asked, text: str) -> list[float]:
        scores = score(asked, Outcome("", "", asked.id, text, cited=cited(text)), self._reader)
        return [value for name in self._judged if (value := scores[name]) is not None]


def cited(text: str) -> tuple[str, ...]:
    """What an answer names in square brackets, or in the field `documents` or `document` of a JSON answer."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return tuple(_CITED.findall(text))
    named = document.get("documents", document.get("document", ())) if isinstance(document, dict) else ()
    listed = [named] if isinstance(named, str) else named if isinstance(named, list) else []
    return tuple(name for name in listed if isinstance(name, str))
