"""A rollout's spec as JSON, as the state store keeps it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from trivet.rollouts.spec import Approval, Guardrail, GuardrailKind, RolloutSpec


def to_json(spec: RolloutSpec) -> str:
    """Every field, enums by their values."""
    return json.dumps(asdict(spec), sort_keys=True, default=lambda value: value.value, allow_nan=False)


def from_json(text: str) -> RolloutSpec:
    """What `to_json` wrote. Raises ValueError for anything else, of another version of Trivet for instance."""
    try:
        fields: dict[str, Any] = json.loads(text)
        guardrails = tuple(
            Guardrail(**{**given, "kind": GuardrailKind(given["kind"])}) for given in fields["guardrails"]
        )
        changed = {
            "guardrails": guardrails,
            "steps": tuple(fields["steps"]),
            "approval": Approval(fields["approval"]),
        }
        return RolloutSpec(**{**fields, **changed})
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"no spec of a rollout that this version of Trivet knows: {error}") from error
