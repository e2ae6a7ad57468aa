"""Configuration: read whole, checked whole, refused whole."""

from trivet.config.environment import Environment
from trivet.config.load import Config, IndexConfig, Overrides, load_config
from trivet.config.restarts import needs_restart

__all__ = ["Config", "Environment", "IndexConfig", "Overrides", "load_config", "needs_restart"]
