"""The options by which a command finds its configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from trivet.config import Config, Environment, Overrides, load_config
from trivet.config.environment import PREFIX
from trivet.config.schema.server import LISTENERS

DEFAULT_CONFIG = Path("trivet.yaml")


@dataclass(frozen=True, slots=True)
class LoadConfig:
    """Reads and checks the configuration that a command was given."""

    path: Path
    given_data_dir: Path | None
    environment: Environment

    def __call__(self) -> Config:
        """The configuration; raises ConfigError."""
        return load_config(self.path, self.overrides())

    def overrides(self, *, insecure: bool = False, **options: str | None) -> Overrides:
        """What the command's `options` (listen, ...) and the environment say instead of the file."""
        given: dict[str, str | None] = {}
        origins: dict[str, str] = {}
        for name in LISTENERS:
            told, set_ = options.get(name), getattr(self.environment, name)
            given[name] = told or set_
            origins[name] = f"--{name.replace('_', '-')}" if told else f"{PREFIX}{name.upper()}"
        origins = {name: origin for name, origin in origins.items() if given[name]}
        password = self.environment.state_password
        return Overrides(
            **given, data_dir=self.given_data_dir, insecure=insecure, state_password=password, origins=origins
        )


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
