"""Configuration: read whole, checked whole, refused whole."""

from trivet.config.environment import Environment
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
