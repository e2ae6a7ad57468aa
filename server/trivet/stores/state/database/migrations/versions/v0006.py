"""Interactions of a tenant in the order in which they were stored."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """A page of an export is looked up by its first number."""
    op.create_index("interaction_number", "interaction", ["tenant", "number"])
