"""`adapter_config.json` as PEFT writes it, and what of it the engine can serve. Source: PEFT's `LoraConfig`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from trivet.adapters.preflight import target_modules
from trivet.adapters.preflight.target_modules import TargetModules, read_module_choice
from trivet.errors import AdapterRejected
from trivet.excerpt import quote_masked

FILE = target_modules.FILE
INVOCATION = "alora_invocation_tokens"
MOST_INVOKING = 64  # ids: the invocation is part of every prompt
# Fields that change what the weights mean and that the engine ignores or refuses: only these values are served.
SERVED_ONLY: Mapping[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "task_type": (None, "CAUSAL_LM"),
    "bias": ("none",),
    "use_dora": (None, False),
    "lora_bias": (None, False),
    "modules_to_save": (None, []),
    "layer_replication": (None, []),
    "use_qalora": (None, False),
    "use_bdlora": (None, False),
    "target_parameters": (None, []),
    "trainable_token_indices": (None, [], {}),
}
# Ways to start the training that leave the base's own weights alone.
PLAIN_STARTS = ("gaussian", "eva", "orthogonal", "mica", "lora_ga")
# Fields that say how it was trained, or that are read below.
HARMLESS = frozenset(
    {"alpha_pattern", "auto_mapping", "base_model_name_or_path", "corda_config", "ensure_weight_tying"}
    | {"eva_config", "exclude_modules", "fan_in_fan_out", "inference_mode", "init_lora_weights", "layers_pattern"}
    | {"layers_to_transform", "loftq_config", "lora_alpha", "lora_dropout", "lora_ga_config", "megatron_config"}
    | {
        INVOCATION,
        "megatron_core",
        "peft_version",
        "qalora_group_size",
        "r",
        "rank_pattern",
        "revision",
        "runtime_config",
    }
    | {"target_modules", "use_rslora"}
)
LARGEST = 65504.0  # of half precision: nothing trained comes near it, and beyond it some engines get infinities
MAX_PATTERNS = 2048
Number = TypeVar("Number", int, float)
_NAME_PATTERN = re.compile(r"\^?[\w.]+")


@dataclass(frozen=True, slots=True)
class PeftConfig:
    """What the check of the weights, and their merging, need of it.

    `whole`: names of modules that were trained whole. `tied`: the output head follows a changed embedding.
    `invocation`: the token ids from which on it acts; none of a plain adapter.
    """

    rank: int
    choice: TargetModules
    alpha: float
    rank_pattern: Mapping[re.Pattern[str], int] = field(default_factory=dict)
    alpha_pattern: Mapping[re.Pattern[str], float] = field(default_factory=dict)
    rslora: bool = False
    dora: bool = False
    whole: tuple[str, ...] = ()
    tied: bool = False
    invocation: tuple[int, ...] = ()

    def rank_of(self, module: str) -> int:
        """The rank that a module's weights must have: the first fitting entry of `rank_pattern`, else `r`."""
        return _fitting(self.rank_pattern, module, self.rank)

    def scale_of(self, module: str) -> float:
        """What B A is multiplied by: alpha / rank, or with rsLoRA alpha / sqrt(rank) (Kalajdzievski, 2023)."""
        alpha, rank = _fitting(self.alpha_pattern, module, self.alpha), self.rank_of(module)
        return alpha / (math.sqrt(rank) if self.rslora else rank)


def read_peft_config(path: Path, max_rank: int, *, to_merge: bool = False) -> PeftConfig:
    """Read and check it; raises AdapterRejected with the field, what it has and what it should.

    `to_merge`: DoRA and modules that were trained whole pass too. The engine does not serve them, but they can be
    merged.
    """
    content = read_content(path)
    _check_served(content, to_merge=to_merge)
    for name in ("use_rslora", "fan_in_fan_out"):
        if not isinstance(content.get(name) or False, bool):
            raise AdapterRejected(f"{FILE}: {name} is {quote_masked(content[name])}, expected true or false")
    dropout = content["lora_dropout"] if content.get("lora_dropout") is not None else 0.0
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout <= 1:
        raise AdapterRejected(f"{FILE}: lora_dropout is {quote_masked(dropout)}, expected 0 to 1")
    ranks, alphas = _pattern(content, "rank_pattern"), _pattern(content, "alpha_pattern")
    return PeftConfig(
        rank=_rank(content.get("r"), "r", max_rank),
        choice=read_module_choice(content),
        alpha=_number(content.get("lora_alpha"), "lora_alpha"),
        rank_pattern={
            _compiled(name): _rank(value, f"rank_pattern[{quote_masked(name)}]", max_rank)
            for name, value in ranks.items()
        },
        alpha_pattern={
            _compiled(name): _number(value, f"alpha_pattern[{quote_masked(name)}]") for name, value in alphas.items()
        },
        rslora=content.get("use_rslora") is True,
        dora=content.get("use_dora") is True,
        whole=tuple(content.get("modules_to_save") or ()),
        tied=content.get("ensure_weight_tying") is True,
        invocation=_invocation(content),
    )


def read_content(path: Path) -> dict[str, Any]:
    """The file's object, unchecked; AdapterRejected if it is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as problem:
        raise AdapterRejected(f"{FILE}: is not sound JSON: {problem}") from problem
    if not isinstance(content, dict):
        raise AdapterRejected(f"{FILE}: is a {type(content).__name__}, expected an object")
    return content


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name appears twice")
    return found


def _check_served(content: Mapping[str, Any], *, to_merge: bool) -> None:
    whole = content.get("modules_to_save")
    names = isinstance(whole, list) and all(isinstance(name, str) for name in whole)
    if names and whole and not to_merge:
        raise AdapterRejected(
            f"{FILE}: modules_to_save is {quote_masked(whole)}: the adapter trains these whole, and the engine serves "
            "LoRA's matrices alone. `trivet adapter merge` makes a model of it, to be served as a backend; `trivet "
            "adapter import` leaves out what did not change"
        )
    for name, served in SERVED_ONLY.items():
        if to_merge and ((name == "use_dora" and content.get(name) is True) or (name == "modules_to_save" and names)):
            continue
        if content.get(name, served[0]) not in served or (name == "peft_type" and name not in content):
            expected = " or ".join(repr(value) for value in served if value is not None) or "it to be absent"
            advice = "; `trivet adapter merge` takes it" if name == "use_dora" and not to_merge else ""
            raise AdapterRejected(f"{FILE}: {name} is {quote_masked(content.get(name))}, expected {expected}{advice}")
    start = content.get("init_lora_weights")
    if not (start is None or isinstance(start, bool) or start in PLAIN_STARTS):
        raise AdapterRejected(
            f"{FILE}: init_lora_weights is {quote_masked(start)}, which changes the base's own weights; expected a "
            "plain LoRA"
        )
    for name, value in content.items():
        if value and name not in SERVED_ONLY and name not in HARMLESS:
            raise AdapterRejected(
                f"{FILE}: {quote_masked(name)[1:-1]} is {quote_masked(value)}, expected it to be absent: it is not "
                "known here"
            )


def _invocation(content: Mapping[str, Any]) -> tuple[int, ...]:
    """Of an activated LoRA (aLoRA), which acts from there on."""
    value = content.get(INVOCATION)
    if value is None:
        return ()
    ids = isinstance(value, list) and all(type(token) is int and token >= 0 for token in value)
    if not ids or not 1 <= len(value) <= MOST_INVOKING:
        raise AdapterRejected(
            f"{FILE}: {INVOCATION} is {quote_masked(value)}, expected 1 to {MOST_INVOKING} token ids, or none"
        )
    return tuple(value)


def _compiled(name: str) -> re.Pattern[str]:
    """A key of a pattern as PEFT reads it: the end of a module's name (`get_pattern_key`)."""
    return re.compile(rf"(.*\.)?({name})")


def _fitting(pattern: Mapping[re.Pattern[str], Number], module: str, default: Number) -> Number:
    for name, value in pattern.items():
        if name.fullmatch(module):
            return value
    return default


def _rank(value: Any, name: str, max_rank: int) -> int:
    if type(value) is not int or not 1 <= value <= max_rank:
        raise AdapterRejected(
            f"{FILE}: {name} is {quote_masked(value)}, expected 1 to {max_rank} (the engine's max_lora_rank)"
        )
    return value


def _pattern(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    patterns = {} if content.get(name) is None else content[name]
    if not isinstance(patterns, dict):
        raise AdapterRejected(f"{FILE}: {name} is {quote_masked(patterns)}, expected an object")
    if len(patterns) > MAX_PATTERNS:
        raise AdapterRejected(f"{FILE}: {name} has {len(patterns)} entries, expected at most {MAX_PATTERNS}")
    for key in patterns:
        if not _NAME_PATTERN.fullmatch(key):
            raise AdapterRejected(
                f"{FILE}: {name} has the key {quote_masked(key)}, expected names of modules, not an expression"
            )
    return patterns


def _number(value: Any, name: str) -> float:
    """A number that a scale can be made of: times it, weights must stay finite."""
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST:
        return value
    raise AdapterRejected(f"{FILE}: {name} is {quote_masked(value)}, expected a number of at most {LARGEST:g}")
