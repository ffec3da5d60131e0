"""Tables of clusters."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "clusters",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("mean", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("examples", sa.Text(), nullable=False),
        sa.Column("went_into", sa.String(64), nullable=True),
        sa.Column("intent", sa.String(256), nullable=True),
        sa.Column("alias", sa.String(128), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clusters")),
        sa.UniqueConstraint("number", name=op.f("uq_clusters_number")),
    )
    op.create_index(op.f("ix_clusters_state"), "clusters", ["state"])
    _members()
    op.create_table(
        "cluster_examples",
        sa.Column("cluster", sa.String(64), nullable=False),
        sa.Column("exchange_id", sa.String(64), nullable=False),
        sa.Column("tenant", sa.String(256), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("subjects", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("cluster", "exchange_id", name=op.f("pk_cluster_examples")),
    )
    op.create_table(
        "cluster_moves",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("actor", sa.String(256), nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("cluster", sa.String(64), nullable=False),
        sa.Column("detail", sa.String(256), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cluster_moves")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_cluster_moves_cluster"), "cluster_moves", ["cluster"])
    op.create_table(
        "cluster_progress",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("encoder", sa.String(128), nullable=False),
        sa.Column("centre", sa.LargeBinary(), nullable=True),
        sa.Column("grouped", sa.BigInteger(), nullable=False),
        sa.Column("grouped_at", sa.Double(), nullable=False),
        sa.Column("numbers", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cluster_progress")),
    )
    op.execute(
        "INSERT INTO cluster_progress (id, changed, encoder, grouped, grouped_at, numbers)"
        " VALUES (1, 0, '', 0, 0, 0)"
    )


def _members() -> None:
    exchange = sa.ForeignKey(
        "exchanges.seq", ondelete="CASCADE", name=op.f("fk_cluster_members_exchange_exchanges")
    )
    op.create_table(
        "cluster_members",
        sa.Column("exchange", _NUMBER, exchange, nullable=False),
        sa.Column("exchange_id", sa.String(64), nullable=False),
        sa.Column("cluster", sa.String(64), nullable=True),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("cost_usd", sa.Double(), nullable=False),
        sa.Column("was_about", sa.String(256), nullable=True),
        sa.PrimaryKeyConstraint("exchange", name=op.f("pk_cluster_members")),
    )
    op.create_index(op.f("ix_cluster_members_cluster"), "cluster_members", ["cluster"])
    member = sa.ForeignKey(
        "cluster_members.exchange",
        ondelete="CASCADE",
        name=op.f("fk_cluster_days_exchange_cluster_members"),
    )
    op.create_table(
        "cluster_days",
        sa.Column("exchange", _NUMBER, member, nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("exchange", "day", name=op.f("pk_cluster_days")),
    )


def downgrade() -> None:
    for table in ("progress", "moves", "examples", "days", "members"):
        op.drop_table(f"cluster_{table}")
    op.drop_table("clusters")
