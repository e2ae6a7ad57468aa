"""What transformers and PEFT answer with an adapter: the reference for what an engine should."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from tests.support.engine.later import Later

torch, peft, transformers = Later("torch"), Later("peft"), Later("transformers")


class PeftAnswers:
    """A base model in float32, and greedy answers of it with one adapter after another."""

    def __init__(self, base: Path) -> None:
        self._model: Any = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
        self._tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))

    def text(self, adapter: Path, prompt: Sequence[int], tokens: int) -> str:
        """The answer with the adapter in this folder, but for bytes that are no text; raises what PEFT raises."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # more of them mostly wait for each other in a model of this size
        adapted: Any = peft.PeftModel.from_pretrained(self._model, adapter).eval()
        try:
            ids = list(prompt)
            with torch.no_grad():
                for _ in range(tokens):
                    logits = adapted(torch.tensor([ids])).logits[0, -1]
                    assert bool(torch.isfinite(logits).all())
                    ids.append(int(logits.argmax()))
        finally:
            self._model = adapted.unload()
            torch.set_num_threads(threads)
            vars(self._model).pop("peft_config", None)  # or the next one is taken for a second adapter
        return readable(str(self._tokenizer.decode(ids[len(prompt) :])))


def readable(text: str) -> str:
    """A text without the marks of bytes that are none: how many there are depends on who decodes."""
    return text.replace("\N{REPLACEMENT CHARACTER}", "")
