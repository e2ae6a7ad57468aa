"""The options by which a command finds its configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from trivet.config import Config, Environment, Overrides, load_config

DEFAULT_CONFIG = Path("trivet.yaml")


@dataclass(frozen=True, slots=True)
class LoadConfig:
    """Reads and checks the configuration that a command was given."""

    path: Path
    given_data_dir: Path | None
    environment: Environment

    def __call__(self, **overrides: Any) -> Config:
        """The configuration; raises ConfigError."""
        given = {
            name: overrides.get(name) or getattr(self.environment, name)
            for name in ("listen", "admin_listen", "metrics_listen")
        }
        insecure = bool(overrides.get("insecure"))
        return load_config(self.path, Overrides(**given, data_dir=self.given_data_dir, insecure=insecure))


def config_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --config and --data-dir; the command gets `load`, which reads and checks the configuration."""

    @click.option(
        "--config", "path", type=click.Path(path_type=Path), help="Configuration (TRIVET_CONFIG; default trivet.yaml)."
    )
    @click.option("--data-dir", type=click.Path(path_type=Path), help="All state lives here (TRIVET_DATA_DIR).")
    @wraps(command)
    def with_config(*args: Any, path: Path | None, data_dir: Path | None, **options: Any) -> Any:
        environment = Environment.read()
        folder = data_dir or (Path(environment.data_dir) if environment.data_dir else None)
        chosen = path or Path(environment.config or DEFAULT_CONFIG)
        return command(*args, load=LoadConfig(chosen, folder, environment), **options)

    return with_config


def data_folder_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --config and --data-dir; the command gets `data_dir`. The configuration is read only if it has to tell."""

    @config_options
    @wraps(command)
    def with_folder(*args: Any, load: LoadConfig, **options: Any) -> Any:
        return command(*args, data_dir=load.given_data_dir or load().data_dir, **options)

    return with_folder
