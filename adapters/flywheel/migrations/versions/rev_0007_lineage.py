"""Tables of lineage."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """What each version was made of."""
    op.create_table(
        "lineage",
        sa.Column("alias", sa.String(128), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("distillation", sa.String(32), nullable=False),
        sa.Column("intent", sa.String(128), nullable=False),
        sa.Column("base", sa.String(256), nullable=False),
        sa.Column("dataset", sa.String(64), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("splits", sa.JSON(), nullable=False),
        sa.Column("reviewers", sa.JSON(), nullable=False),
        sa.Column("teachers", sa.JSON(), nullable=False),
        sa.Column("parents", sa.JSON(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("alias", "digest", name="pk_lineage"),
    )
    op.create_index("ix_lineage_dataset", "lineage", ["dataset"])


def downgrade() -> None:
    """Back to none."""
    op.drop_table("lineage")
