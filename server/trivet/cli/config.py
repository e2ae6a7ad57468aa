"""The options by which a command finds its configuration."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from trivet.config import Config, Environment, Overrides, load_config

DEFAULT_CONFIG = Path("trivet.yaml")


def config_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --config and --data-dir; the command gets `load`, which reads and checks the configuration."""

    @click.option(
        "--config", "path", type=click.Path(path_type=Path), help="Configuration (TRIVET_CONFIG; default trivet.yaml)."
    )
    @click.option("--data-dir", type=click.Path(path_type=Path), help="All state lives here (TRIVET_DATA_DIR).")
    @wraps(command)
    def with_config(*args: Any, path: Path | None, data_dir: Path | None, **options: Any) -> Any:
        def load(**overrides: Any) -> Config:
            environment = Environment.read()
            chosen = path or Path(environment.config or DEFAULT_CONFIG)
            folder = data_dir or (Path(environment.data_dir) if environment.data_dir else None)
            given = {
                name: overrides.get(name) or getattr(environment, name)
                for name in ("listen", "admin_listen", "metrics_listen")
            }
            return load_config(chosen, Overrides(**given, data_dir=folder, insecure=bool(overrides.get("insecure"))))

        return command(*args, load=load, **options)

    return with_config
