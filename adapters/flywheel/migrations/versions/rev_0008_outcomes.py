"""Tables of outcomes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Imported outcomes, and what was learned of all outcomes."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "outcomes",
        sa.Column("number", number, nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("target", sa.String(512), nullable=False),
        sa.Column("intent", sa.String(256), nullable=False),
        sa.Column("good", sa.Double(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("traits", sa.JSON(), nullable=False),
        sa.Column("subject", sa.String(64), nullable=True),
        sa.Column("encoder", sa.String(128), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_outcomes"),
        sa.UniqueConstraint("key", name="uq_outcomes_key"),
        sqlite_autoincrement=True,
    )
    for column in ("target", "subject", "encoder"):
        op.create_index(f"ix_outcomes_{column}", "outcomes", [column])
    op.create_table(
        "outcomes_learned",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("told", sa.JSON(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_outcomes_learned"),
    )


def downgrade() -> None:
    """Back to none."""
    op.drop_table("outcomes_learned")
    op.drop_table("outcomes")
