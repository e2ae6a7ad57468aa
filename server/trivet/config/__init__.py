"""Configuration: read whole, checked whole, refused whole."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from trivet.config.environment import Environment

if TYPE_CHECKING:
    from trivet.config.load import Config, Examined, IndexConfig, Overrides, examine_config, load_config
    from trivet.config.restarts import needs_restart

__all__ = [
    "Config",
    "Environment",
    "Examined",
    "IndexConfig",
    "Overrides",
    "examine_config",
    "load_config",
    "needs_restart",
]


def __getattr__(name: str) -> Any:
    """All but `Environment` is imported when it is asked for: the schema of a configuration takes a fifth of a second,
    and who calls a server needs none."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "restarts" if name == "needs_restart" else "load"
    return getattr(import_module(f"{__name__}.{module}"), name)
