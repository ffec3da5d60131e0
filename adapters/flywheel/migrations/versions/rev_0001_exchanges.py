"""Tables of exchanges."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _exchanges()
    op.create_table(
        "exchange_subjects",
        sa.Column("subject", sa.String(64), nullable=False),
        _owner("exchange_subjects"),
        sa.PrimaryKeyConstraint("subject", "exchange", name=op.f("pk_exchange_subjects")),
    )
    op.create_table(
        "exchange_sightings",
        sa.Column("number", _NUMBER, nullable=False),
        sa.Column("decision_id", sa.String(128), nullable=False),
        _owner("exchange_sightings"),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_exchange_sightings")),
        sa.UniqueConstraint("decision_id", name=op.f("uq_exchange_sightings_decision_id")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "exchange_early_signals",
        sa.Column("number", _NUMBER, nullable=False),
        sa.Column("decision_id", sa.String(128), nullable=False),
        sa.Column("names", sa.Text(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("subjects", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_exchange_early_signals")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "exchange_likenesses",
        sa.Column("key", sa.BigInteger(), autoincrement=False, nullable=False),
        _owner("exchange_likenesses"),
        sa.PrimaryKeyConstraint("key", "exchange", name=op.f("pk_exchange_likenesses")),
    )
    op.create_table(
        "exchange_erased",
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_exchange_erased")),
    )
    op.create_table(
        "exchange_tally",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("exchanges", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exchange_tally")),
    )
    for table, column in (
        ("exchange_subjects", "exchange"),
        ("exchange_sightings", "exchange"),
        ("exchange_early_signals", "decision_id"),
        ("exchange_likenesses", "exchange"),
        ("exchange_erased", "at"),
    ):
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column])
    op.execute("INSERT INTO exchange_tally (id, exchanges, size, changed) VALUES (1, 0, 0, 0)")


def _exchanges() -> None:
    texts = ("messages", "response", "signals", "details")
    op.create_table(
        "exchanges",
        sa.Column("seq", _NUMBER, nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("intent", sa.String(256), nullable=False),
        sa.Column("tenant", sa.String(256), nullable=False),
        sa.Column("target", sa.String(512), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in texts),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("session", sa.String(512), nullable=False),
        sa.Column("decision_id", sa.String(128), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=True),
        sa.Column("cost_usd", sa.Double(), nullable=False),
        sa.Column("trains", sa.Boolean(), nullable=False),
        sa.Column("fold", sa.String(64), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("worth", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_exchanges")),
        sa.UniqueConstraint("id", name=op.f("uq_exchanges_id")),
        sa.UniqueConstraint("fold", name=op.f("uq_exchanges_fold")),
        sqlite_autoincrement=True,
    )
    for columns in (["intent"], ["state"], ["intent", "state"], ["worth"]):
        name = "_".join(["ix_exchanges", *columns, "seq"])
        op.create_index(name, "exchanges", [*columns, "seq"])
    op.create_index(op.f("ix_exchanges_changed"), "exchanges", ["changed"])


def _owner(table: str) -> sa.Column[int]:
    of = sa.ForeignKey(
        "exchanges.seq", ondelete="CASCADE", name=op.f(f"fk_{table}_exchange_exchanges")
    )
    return sa.Column("exchange", _NUMBER, of, nullable=False)


def downgrade() -> None:
    for table in ("tally", "erased", "likenesses", "early_signals", "sightings", "subjects"):
        op.drop_table(f"exchange_{table}")
    op.drop_table("exchanges")
