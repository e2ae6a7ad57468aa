"""Interactions: what was asked and answered, where routes keep it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make their table, and that of what was erased."""
    op.create_table(
        "interaction",
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False, unique=True),
        sa.Column("route", sa.String(length=128), nullable=False),
        sa.Column("variant", sa.String(length=128), nullable=False),
        sa.Column("unit", sa.String(length=64), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "request_id"),
    )
    op.create_index("interaction_unit", "interaction", ["tenant", "unit"])
    op.create_index("interaction_at", "interaction", ["at"])
    op.create_table(
        "erasure",
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("what", sa.String(length=160), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "what"),
    )
