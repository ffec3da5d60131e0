"""Tables of distillations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Distillations, and who may train for an alias."""
    op.create_table(
        "distillations",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("alias", sa.String(128), nullable=False),
        sa.Column("intent", sa.String(128), nullable=False),
        sa.Column("dataset", sa.String(64), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("cause", sa.String(32), nullable=False),
        sa.Column("author", sa.String(256), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("steps", sa.Integer(), nullable=False),
        sa.Column("loss", sa.Double(), nullable=True),
        sa.Column("eta_s", sa.Double(), nullable=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("gate", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("starts", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_distillations"),
        sa.UniqueConstraint("id", name="uq_distillations_id"),
    )
    op.create_index("ix_distillations_state", "distillations", ["state"])
    op.create_index("ix_distillations_alias", "distillations", ["alias"])
    op.create_table(
        "trainer_leases",
        sa.Column("alias", sa.String(128), nullable=False),
        sa.Column("distillation", sa.String(32), nullable=False),
        sa.Column("taken_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("alias", name="pk_trainer_leases"),
        sa.ForeignKeyConstraint(
            ["distillation"],
            ["distillations.id"],
            name="fk_trainer_leases_distillation_distillations",
            ondelete="CASCADE",
        ),
    )


def downgrade() -> None:
    """Back to none."""
    op.drop_table("trainer_leases")
    op.drop_table("distillations")
