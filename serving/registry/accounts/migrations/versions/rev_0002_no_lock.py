"""Writers lock the registry's control row instead, where they find whether they still may write."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_table("accounts_lock")


def downgrade() -> None:
    op.create_table(
        "accounts_lock",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_accounts_lock_single_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts_lock")),
    )
    op.execute("INSERT INTO accounts_lock (id) VALUES (1)")
