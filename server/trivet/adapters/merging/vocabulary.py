"""The embedding and the output head of a merged model: their size, and whether they are still one.

PEFT's rules (`ModulesToSaveWrapper`, `ensure_weight_tying`): a module that is trained whole, or has LoRA, is a copy of
its own, so an output head that was tied to the embedding stays what it was; an embedding that was only resized is the
base's own, and a tied output head goes with it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from trivet.adapters.preflight.base_model import HEAD, BaseModel
from trivet.adapters.preflight.peft_config import PeftConfig
from trivet.adapters.preflight.safetensors_header import TensorEntry
from trivet.adapters.preflight.tensor_data import equal
from trivet.errors import AdapterRejected

HEAD_WEIGHT = f"{HEAD}.weight"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """`rows`: how many tokens the merged model has room for. `untied`: it gets an output head that the base has not.

    `head_source`: the tensor that the output head begins as, before LoRA.
    """

    rows: int | None
    resized: bool
    untied: bool
    head_source: str

    @classmethod
    def of(
        cls,
        base: BaseModel,
        config: PeftConfig,
        weights: Path,
        whole: Mapping[str, TensorEntry],
        low_rank: Collection[str],
    ) -> Vocabulary:
        """Raises AdapterRejected if embedding and output head would differ in size."""
        if not base.embedding:
            return cls(None, False, False, HEAD_WEIGHT)
        embedding = f"{base.embedding}.weight"
        trained = any(name == base.embedding or base.embedding.endswith(f".{name}") for name in config.whole)
        head_source = HEAD_WEIGHT
        if base.tied and HEAD_WEIGHT not in whole:
            head_source = embedding if embedding in whole and not trained else ""
        untied = base.tied and not config.tied and _differ(base, trained, weights, whole, low_rank)
        rows = whole[embedding].shape[0] if embedding in whole else base.vocabulary[base.embedding][0]
        if untied or not base.tied:
            head = whole.get(HEAD_WEIGHT) or (whole.get(embedding) if head_source == embedding else None)
            head_rows = base.vocabulary[HEAD][0] if head is None else head.shape[0]
            if head_rows != rows:
                raise AdapterRejected(
                    f"the embedding has {rows} rows and the output head {head_rows}: the adapter holds only one of "
                    "them whole, expected both of one size"
                )
        return cls(rows, rows != base.vocabulary[base.embedding][0], untied, head_source or embedding)

    def source_of(self, name: str) -> str:
        """The tensor, of the adapter or else of the base, that a tensor begins as, before LoRA."""
        return self.head_source if name == HEAD_WEIGHT else name


def _differ(
    base: BaseModel, trained: bool, weights: Path, whole: Mapping[str, TensorEntry], low_rank: Collection[str]
) -> bool:
    """Whether the output head is not the embedding any more."""
    if base.embedding in low_rank or HEAD in low_rank:
        return True
    embedding, head = whole.get(f"{base.embedding}.weight"), whole.get(HEAD_WEIGHT)
    if head is None or embedding is None:
        return trained or head is not None
    return not equal((weights, embedding), (weights, head))
