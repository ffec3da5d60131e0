"""What drifts is counted beside usage."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "signals",
        sa.Column("hour", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("signal", sa.String(32), nullable=False),
        sa.Column("bucket", sa.String(256), nullable=False),
        sa.Column("holder", sa.String(256), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("examples", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("hour", "signal", "bucket", "holder", name=op.f("pk_signals")),
    )


def downgrade() -> None:
    op.drop_table("signals")
