"""What PEFT writes today passes, and what it can switch on beyond plain LoRA does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trivet.adapters.preflight.peft_config import read_peft_config
from trivet.errors import AdapterRejected


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    from peft import LoraConfig

    fields = LoraConfig(r=8, target_modules=["q_proj"], task_type="CAUSAL_LM").to_dict()
    return json.loads(json.dumps(fields | {"target_modules": ["q_proj"]}, default=str))


def test_defaults_pass(written: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(written))
    assert read_peft_config(path, 16).rank == 8


@pytest.mark.parametrize("variant", ["kasa_config", "monteclora_config", "arrow_config", "use_bdlora"])
def test_variants_of_lora_are_refused(written: dict[str, Any], tmp_path: Path, variant: str) -> None:
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(written | {variant: {"some": 1}}))
    with pytest.raises(AdapterRejected, match=rf"adapter_config.json: {variant} is \{{'some': 1\}}, expected"):
        read_peft_config(path, 16)
