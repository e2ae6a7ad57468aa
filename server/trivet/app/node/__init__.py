"""An engine node as a process: its engine supervised, its adapters, its listener."""

from trivet.app.node.engine_node import EngineNode

__all__ = ["EngineNode"]
