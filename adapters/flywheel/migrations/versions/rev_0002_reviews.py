"""Tables of reviews."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _number() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _of_review(table: str) -> tuple[sa.Column[str], sa.ForeignKeyConstraint]:
    return (
        sa.Column("review_id", sa.String(80), nullable=False),
        sa.ForeignKeyConstraint(
            ["review_id"],
            ["reviews.id"],
            name=op.f(f"fk_{table}_review_id_reviews"),
            ondelete="CASCADE",
        ),
    )


def upgrade() -> None:
    _reviews()
    _verdicts()
    _candidates()
    _subjects()
    op.create_table(
        "review_guidelines",
        sa.Column("intent", sa.String(256), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("by", sa.String(256), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("intent", name=op.f("pk_review_guidelines")),
    )
    followed = op.create_table(
        "review_followed",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("left_out", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review_followed")),
    )
    op.bulk_insert(followed, [{"id": 1, "changed": 0, "left_out": False}])


def _reviews() -> None:
    op.create_table(
        "reviews",
        sa.Column("id", sa.String(80), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("exchange_id", sa.String(80), nullable=True),
        sa.Column("decision_id", sa.String(128), nullable=False),
        sa.Column("intent", sa.String(256), nullable=False),
        sa.Column("tenant", sa.String(256), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("tier", sa.Integer(), nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("why", sa.JSON(), nullable=False),
        sa.Column("opened_at", sa.Double(), nullable=False),
        sa.Column("settled_at", sa.Double(), nullable=True),
        sa.Column("outcome", sa.String(16), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("provenance", sa.String(16), nullable=True),
        sa.Column("source", sa.String(512), nullable=False),
        sa.Column("disputed", sa.Boolean(), nullable=False),
        sa.Column("escalated", sa.Boolean(), nullable=False),
        sa.Column("verdicts", sa.Integer(), nullable=False),
        sa.Column("claimed_by", sa.String(256), nullable=True),
        sa.Column("claimed_until", sa.Double(), nullable=False),
        sa.Column("known", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reviews")),
    )
    op.create_index("ix_reviews_queue", "reviews", ["state", "tier", "weight", "id"])
    op.create_index(
        "ix_reviews_intent_queue", "reviews", ["intent", "state", "tier", "weight", "id"]
    )
    op.create_index("ix_reviews_settled", "reviews", ["outcome", "settled_at"])
    for column in ("exchange_id", "decision_id", "claimed_by"):
        op.create_index(op.f(f"ix_reviews_{column}"), "reviews", [column])


def _verdicts() -> None:
    review_id, belongs = _of_review("review_verdicts")
    op.create_table(
        "review_verdicts",
        sa.Column("number", _number(), nullable=False),
        review_id,
        sa.Column("reviewer", sa.String(256), nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("source", sa.String(512), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("undone_at", sa.Double(), nullable=True),
        sa.Column("right", sa.Boolean(), nullable=True),
        belongs,
        sa.PrimaryKeyConstraint("number", name=op.f("pk_review_verdicts")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_review_verdicts_review_id"), "review_verdicts", ["review_id"])
    op.create_index("ix_review_verdicts_reviewer", "review_verdicts", ["reviewer", "at"])
    standing = sa.text("undone_at IS NULL")
    op.create_index(
        "uq_review_verdicts_standing",
        "review_verdicts",
        ["review_id", "reviewer"],
        unique=True,
        sqlite_where=standing,
        postgresql_where=standing,
    )


def _candidates() -> None:
    review_id, belongs = _of_review("review_candidates")
    op.create_table(
        "review_candidates",
        sa.Column("number", _number(), nullable=False),
        review_id,
        sa.Column("source", sa.String(512), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        belongs,
        sa.PrimaryKeyConstraint("number", name=op.f("pk_review_candidates")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_review_candidates_review_id"), "review_candidates", ["review_id"])


def _subjects() -> None:
    review_id, belongs = _of_review("review_subjects")
    op.create_table(
        "review_subjects",
        sa.Column("subject", sa.String(64), nullable=False),
        review_id,
        belongs,
        sa.PrimaryKeyConstraint("subject", "review_id", name=op.f("pk_review_subjects")),
    )
    op.create_index(op.f("ix_review_subjects_review_id"), "review_subjects", ["review_id"])


def downgrade() -> None:
    for table in (
        "review_followed",
        "review_guidelines",
        "review_subjects",
        "review_candidates",
        "review_verdicts",
        "reviews",
    ):
        op.drop_table(table)
