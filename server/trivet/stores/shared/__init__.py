"""The document log that several gateways write to: in PostgreSQL, over one vector engine."""

from trivet.stores.shared.coordination import SharedCoordination
from trivet.stores.shared.database import SharedDatabase
from trivet.stores.shared.takeover import set_aside, take_over

__all__ = ["SharedCoordination", "SharedDatabase", "set_aside", "take_over"]
