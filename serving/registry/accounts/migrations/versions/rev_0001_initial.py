"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "accounts_lock",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_accounts_lock_single_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts_lock")),
    )
    op.execute("INSERT INTO accounts_lock (id) VALUES (1)")
    op.create_table(
        "budget_holders",
        sa.Column("holder", sa.String(256), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("heard_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("holder", name=op.f("pk_budget_holders")),
    )
    op.create_table(
        "budget_leases",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("holder", sa.String(256), nullable=False),
        sa.Column("budget", sa.String(64), nullable=False),
        sa.Column("metric", sa.String(16), nullable=False),
        sa.Column("window", sa.String(16), nullable=False),
        sa.Column("limit", sa.BigInteger(), nullable=False),
        sa.Column("ends", sa.BigInteger(), nullable=True),
        sa.Column("granted", sa.BigInteger(), nullable=False),
        sa.Column("spent", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", "holder", name=op.f("pk_budget_leases")),
    )
    op.create_index("ix_budget_leases_ends", "budget_leases", ["ends"])
    _create_usage()


def _create_usage() -> None:
    names = (("key", 256), ("tenant", 256), ("route", 320), ("target", 512), ("holder", 256))
    counts = (
        "requests",
        "refused",
        "cache_hits",
        "attempts",
        "input_tokens",
        "output_tokens",
        "nano_usd",
    )
    op.create_table(
        "usage",
        sa.Column("hour", sa.BigInteger(), autoincrement=False, nullable=False),
        *(sa.Column(name, sa.String(length), nullable=False) for name, length in names),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in counts),
        sa.PrimaryKeyConstraint("hour", *(name for name, _ in names), name=op.f("pk_usage")),
    )
    op.create_index("ix_usage_hour", "usage", ["hour"])


def downgrade() -> None:
    for table in ("usage", "budget_leases", "budget_holders", "accounts_lock"):
        op.drop_table(table)
