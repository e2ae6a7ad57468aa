"""The database that the state store stands on: SQLite or PostgreSQL, its schema's versions, its clock."""

from trivet.stores.state.database.clock import Clock, now
from trivet.stores.state.database.transactions import StateDatabase
from trivet.stores.state.database.upsert import insert_missing, replace_row

__all__ = ["Clock", "StateDatabase", "insert_missing", "now", "replace_row"]
