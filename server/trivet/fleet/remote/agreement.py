"""What all nodes of one backend must have in common, so that an answer does not depend on which of them gives it."""

from __future__ import annotations

from dataclasses import dataclass

from trivet.engine.v1 import engine_pb2


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a node says of itself."""

    name: str
    instance: str
    model_digest: str
    tokenizer_digest: str
    block_size: int
    context_tokens: int
    salts_after_prefix: bool
    max_requests: int
    max_adapters: int
    engine_version: str
    trivet_version: str
    max_message_bytes: int

    @classmethod
    def of(cls, told: engine_pb2.DescribeResponse) -> NodeFacts:
        """From its message."""
        return cls(
            name=told.name,
            instance=told.instance,
            model_digest=told.model_digest,
            tokenizer_digest=told.tokenizer_digest,
            block_size=told.block_size,
            context_tokens=told.context_tokens,
            salts_after_prefix=told.salts_after_prefix,
            max_requests=max(1, told.max_requests),
            max_adapters=told.max_adapters,
            engine_version=told.engine_version,
            trivet_version=told.trivet_version,
            max_message_bytes=told.max_message_bytes,
        )


class Agreement:
    """What is expected: the gateway's own tokenizer and model, and for the rest what the first node that fits has.

    It holds for as long as the gateway runs: prompts are cut to the context, and books kept in blocks, of this size.
    """

    def __init__(self, tokenizer: str, model: str = "") -> None:
        """Fingerprints; an empty `model` is any."""
        self._tokenizer = tokenizer
        self._model = model
        self.facts: NodeFacts | None = None

    def join(self, told: NodeFacts) -> str:
        """Why a node does not fit, empty if it does. The first that fits sets what is open."""
        if told.tokenizer_digest != self._tokenizer:
            return f"its tokenizer is {_short(told.tokenizer_digest)}, expected {_short(self._tokenizer)}"
        if told.model_digest != (self._model or told.model_digest):
            return f"its model is {_short(told.model_digest)}, expected {_short(self._model)}"
        if self.facts is None:
            self.facts = told
            return ""
        for field in ("model_digest", "block_size", "context_tokens", "salts_after_prefix"):
            mine, theirs = getattr(self.facts, field), getattr(told, field)
            if mine != theirs:
                return f"its {field} is {_short(theirs)}, expected {_short(mine)}, as other nodes have it"
        return ""


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 16 else text[:12]
