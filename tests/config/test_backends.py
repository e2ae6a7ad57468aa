"""Several backends in one file: what goes together, and what is refused with line and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from trivet.app.adapters.manager import check_folder
from trivet.app.backend import adapter_backend, embedded_settings, restart_settings
from trivet.app.supervision.supervisor import RestartSettings
from trivet.config import Config, load_config
from trivet.errors import AdapterRejected, ConfigError
from trivet.stores.data_folder import DataFolder

GOOD = """\
version: 1
backends:
  merged:
    kind: embedded
    model: merged
    enable_lora: false
    gpu_memory_utilization: 0.4
  base:
    kind: embedded
    model: base
    gpu_memory_utilization: 0.5
    restart: {first_delay: 2, max_delay: 9}
    start_timeout: 33
routes:
  support:
    variants:
      a: {weight: 1, backend: base, prompt: p@1, adapter: lora@2}
      b: {weight: 1, backend: merged, prompt: p@1}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for model in ("base", "merged"):
        (tmp_path / model).mkdir()
        (tmp_path / model / "config.json").write_text("{}")
    (tmp_path / "prompts" / "p").mkdir(parents=True)
    (tmp_path / "prompts" / "p" / "1.md").write_text("Be kind.")
    (tmp_path / "adapters" / "lora" / "2").mkdir(parents=True)
    return tmp_path


def load(folder: Path, text: str = GOOD) -> Config:
    (folder / "trivet.yaml").write_text(text)
    return load_config(folder / "trivet.yaml")


def test_each_backend_has_its_own_log_and_restarts(folder: Path) -> None:
    config = load(folder, GOOD.replace("start_timeout: 33", "start_timeout: 33\n    hang_timeout: 44"))
    data = DataFolder.open(config.data_dir)
    try:
        settings = {name: embedded_settings(config, data, name) for name in config.file.backends}
    finally:
        data.close()
    assert {name: item.log_file.name for name, item in settings.items()} == {
        "merged": "engine-merged.log", "base": "engine-base.log",
    }  # fmt: skip
    assert {name: item.max_loras for name, item in settings.items()} == {"merged": 0, "base": 2}
    assert {name: item.hang_timeout for name, item in settings.items()} == {"merged": 120, "base": 44}
    assert restart_settings(config, "base") == RestartSettings(2, 9, 60, 33)
    assert restart_settings(config, "merged") == RestartSettings()
    assert adapter_backend(config) == "base"


def test_adapters_are_checked_against_the_backend_that_takes_them(folder: Path) -> None:
    with pytest.raises(AdapterRejected, match=r"adapter_config\.json"):
        check_folder(load(folder), folder / "adapters" / "lora" / "2")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "    enable_lora: false\n",
            "",
            "7: backends.base.enable_lora: 'merged' and 'base' have enable_lora: true (the default), expected one",
        ),
        ("backend: base,", "backend: merged,", "17: routes.support.variants.a.adapter: backend 'merged' has enable_lo"),
        ("n: 0.5", "n: 0.7", "2: backends: gpu_memory_utilization adds up to 1.1, expected at most 1"),
        ("max_delay: 9", "max_delay: 1", "12: backends.base.restart.max_delay: expected at least first_delay (2)"),
        ("first_delay: 2", "first_delay: 0", "12: backends.base.restart.first_delay: expected more than 0"),
        ("start_timeout: 33", "start_timeout: 0", "13: backends.base.start_timeout: expected more than 0"),
    ],
)
def test_it_is_refused_with_line_and_field(folder: Path, old: str, new: str, expected: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError) as refused:
        load(folder, GOOD.replace(old, new, 1))
    found = [line.removeprefix(f"{folder / 'trivet.yaml'}:") for line in refused.value.problems]
    assert [line for line in found if line.startswith(expected)], found
