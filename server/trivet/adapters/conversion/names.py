"""Names of tensors as trainers leave them, and what PEFT calls them for this base.

Wrappers of a training (FSDP, gradient checkpointing, torch.compile, DDP) leave their parts in names, PEFT's own prefix
may be there twice or not at all, and the adapter's name inside PEFT (`default`) may be left in.
"""

from __future__ import annotations

import re

from trivet.adapters.preflight.base_model import HEAD, BaseModel
from trivet.adapters.tensors.tensor_name import MAGNITUDE, TensorName

WRAPPERS = frozenset({"_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_orig_mod"})
OUTER = ("base_model", "model", "module")
_LORA = re.compile(r"(?P<stem>.+?)\.(?P<part>lora_[AB])(\.[\w-]+)?\.weight")
_EMBEDDING = re.compile(r"(?P<stem>.+?)\.(?P<part>lora_embedding_[AB])(\.[\w-]+)?")
_MAGNITUDE = re.compile(rf"(?P<stem>.+?)\.(?P<part>{MAGNITUDE})(\.(?!weight$)[\w-]+)?(\.weight)?")
_WHOLE = re.compile(r"(?P<stem>.+?)(\.base_layer|\.modules_to_save(\.[\w-]+)?)?\.(?P<part>weight|bias)")
_KINDS = (
    (_LORA.fullmatch, ".weight"),
    (_EMBEDDING.fullmatch, ""),
    (_MAGNITUDE.fullmatch, ""),
    (_WHOLE.fullmatch, ""),
)
_ORIGINAL = re.compile(r".+\.original_module\.(weight|bias)")


def is_original(text: str) -> bool:
    """Whether a tensor is the base's own, kept beside one that was trained whole."""
    return _ORIGINAL.fullmatch(text) is not None


def peft_name(text: str, base: BaseModel) -> str:
    """As PEFT names it, where it is a name of an adapter for this base; else as it is."""
    plain = ".".join(part for part in text.split(".") if part not in WRAPPERS)
    for fullmatch, ending in _KINDS:
        if match := fullmatch(plain):
            module = _module(match["stem"], base)
            return text if module is None else str(TensorName(module, match["part"] + ending))
    return text


def _module(stem: str, base: BaseModel) -> str | None:
    """The base's module, without what stands before it."""
    rest = stem.split(".")
    while rest:
        name = ".".join(rest)
        for candidate in (name, f"model.{name}"):
            if _known(candidate, base):
                return candidate
        if rest[0] not in OUTER:
            break
        rest = rest[1:]
    return None


def _known(module: str, base: BaseModel) -> bool:
    if module in (HEAD, base.embedding):
        return True
    beyond = base.beyond(module) is not None  # a layer too many is told by the check, by PEFT's name
    return beyond or module in base.modules or f"{module}.weight" in base.tensors or f"{module}.bias" in base.tensors
