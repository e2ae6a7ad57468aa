"""The embedding and the output head of a merged model: their size, and whether they are still one.

PEFT's rules (`ModulesToSaveWrapper`, `ensure_weight_tying`): a module that is trained whole, or has LoRA, is a copy of
its own, so an output head that was tied to the embedding stays what it was; an embedding that was only resized is the
base's own, and a tied output head goes with it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from trivet.adapters.preflight import peft_config
from trivet.adapters.preflight.base_model import HEAD, BaseModel
from trivet.adapters.tensors.safetensors_header import TensorEntry
from trivet.adapters.tensors.tensor_data import equal
from trivet.errors import AdapterRejected

HEAD_WEIGHT = f"{HEAD}.weight"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """`rows`: how many tokens the merged model has room for. `untied`: it gets an output head that the base has not.

    `head_source`: the tensor that the output head begins as, before LoRA: the adapter's if it has one of that name,
    unless `head_is_bases`.
    """

    rows: int | None
    resized: bool
    untied: bool
    head_source: str
    head_is_bases: bool

    @classmethod
    def of(
        cls,
        base: BaseModel,
        config: peft_config.PeftConfig,
        weights: Path,
        whole: Mapping[str, TensorEntry],
        low_rank: Collection[str],
    ) -> Vocabulary:
        """Raises AdapterRejected if embedding and output head would differ in size."""
        if not base.embedding:
            return cls(None, False, False, HEAD_WEIGHT, False)
        embedding = f"{base.embedding}.weight"
        trained = any(name == base.embedding or base.embedding.endswith(f".{name}") for name in config.whole)
        follows = base.tied and HEAD_WEIGHT not in whole
        head_source = embedding if follows else HEAD_WEIGHT
        head_is_bases = follows and trained
        untied = base.tied and not config.tied and _differ(base, trained, weights, whole, low_rank)
        rows = whole[embedding].shape[0] if embedding in whole else base.vocabulary[base.embedding][0]
        if untied or not base.tied:
            head = None if head_is_bases else whole.get(head_source)
            head_rows = base.vocabulary[HEAD][0] if head is None else head.shape[0]
            if head_rows != rows:
                raise AdapterRejected(
                    f"the embedding has {rows} rows and the output head {head_rows}: the adapter holds only one of "
                    "them whole, expected both of one size"
                )
        return cls(rows, rows != base.vocabulary[base.embedding][0], untied, head_source, head_is_bases)

    def start_of(self, name: str, whole: Collection[str]) -> tuple[str, bool]:
        """The tensor that one begins as, before LoRA, and whether it is the adapter's."""
        if name == HEAD_WEIGHT:
            return self.head_source, self.head_source in whole and not self.head_is_bases
        return name, name in whole


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
