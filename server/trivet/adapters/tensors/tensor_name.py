"""The names of an adapter's tensors, as PEFT writes them: `base_model.model.<module>.<part>`."""

from __future__ import annotations

import re
from dataclasses import dataclass

PREFIX = "base_model.model."
PAIR = ("lora_A.weight", "lora_B.weight")
EMBEDDING_PAIR = ("lora_embedding_A", "lora_embedding_B")
MAGNITUDE = "lora_magnitude_vector"  # DoRA's: the length of each row of the merged weight
WHOLE = ("weight", "bias")  # a module's own, trained or saved whole
_PARTS = "|".join(map(re.escape, (*PAIR, *EMBEDDING_PAIR, MAGNITUDE, *WHOLE)))
_NAME = re.compile(rf"{re.escape(PREFIX)}(?P<module>.+?)\.(?P<part>{_PARTS})")


@dataclass(frozen=True, slots=True)
class TensorName:
    """`module`: the base's. `part`: one of those above."""

    module: str
    part: str

    @classmethod
    def parse(cls, text: str) -> TensorName | None:
        """None if it is not of that form."""
        match = _NAME.fullmatch(text)
        return None if match is None else cls(match["module"], match["part"])

    @property
    def whole(self) -> bool:
        """Whether it is a module's own weight or bias, not one of LoRA's matrices."""
        return self.part in WHOLE

    def __str__(self) -> str:
        return f"{PREFIX}{self.module}.{self.part}"
