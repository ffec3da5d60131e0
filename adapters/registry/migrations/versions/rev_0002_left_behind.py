"""What a rollback left is marked, and what the watched store was judged against."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "aliases",
        sa.Column("rolled_back", sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    op.add_column("sightings", sa.Column("base", sa.String(128), server_default="", nullable=False))


def downgrade() -> None:
    op.drop_column("sightings", "base")
    op.drop_column("aliases", "rolled_back")
