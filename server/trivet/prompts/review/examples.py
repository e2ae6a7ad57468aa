"""Few-shot examples: what a model learns from them it does, whatever the instructions say."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from trivet.prompts.review.located_text import whole
from trivet.prompts.review.rules import Finding
from trivet.prompts.template.source import Placeholder, PromptSource, Turn


def example_findings(prompt: PromptSource, schemas: Iterable[Mapping[str, Any]]) -> Iterator[Finding]:
    """Examples that stand there twice, that contradict each other, or that the variants' JSON schemas do not allow."""
    seen: dict[str, tuple[str, int]] = {}
    examples = [(asked, answer) for asked, answer in pairwise(prompt.turns) if asked.role == "user"]
    for asked, answer in examples:
        question, said = " ".join(whole(asked).split()), " ".join(whole(answer).split())
        if question in seen:
            earlier, line = seen[question]
            if earlier == said:
                yield Finding(
                    asked.line, "repeated-text", f"the example of line {line} once more, expected another one"
                )
            else:
                told = f"another answer than in line {line} to the same question, expected one answer"
                yield Finding(answer.line, "example-conflict", told)
        seen.setdefault(question, (said, asked.line))
    for schema in schemas:
        for _, answer in examples:
            if problem := _problem(answer, schema):
                yield Finding(answer.line, "example-form", problem)


def _problem(answer: Turn, schema: Mapping[str, Any]) -> str | None:
    """Why the schema does not allow an answer; None if it does, or if a variable is part of it."""
    import jsonschema  # type: ignore[import-untyped]  # here, because few prompts need it

    if any(isinstance(piece, Placeholder) for piece in answer.pieces):
        return None
    try:
        value = json.loads(whole(answer))
    except (ValueError, RecursionError):
        return "the answer is not JSON, expected what the variant's json_schema allows"
    error = next(jsonschema.Draft202012Validator(dict(schema)).iter_errors(value), None)
    if error is None:
        return None
    return f"the variant's json_schema does not allow the answer ({error.message[:200]})"
