"""Fields of documents."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Documents that are there have none."""
    op.add_column("entries", sa.Column("fields", sa.Text(), nullable=False, server_default="{}"))
