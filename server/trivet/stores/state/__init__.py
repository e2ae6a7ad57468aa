"""What gateways share: SQLite in the data folder, or PostgreSQL."""

from trivet.stores.state.store import StateStore

__all__ = ["StateStore"]
