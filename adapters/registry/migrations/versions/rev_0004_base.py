"""The base's name: clients ask for it while no engine is up."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "control", sa.Column("base_id", sa.String(256), nullable=False, server_default="")
    )


def downgrade() -> None:
    op.drop_column("control", "base_id")
