"""Tables of datasets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "datasets",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("names", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("splits", sa.JSON(), nullable=False),
        sa.Column("about", sa.JSON(), nullable=False),
        sa.Column("files", sa.JSON(), nullable=False),
        sa.Column("erased", sa.Boolean(), nullable=False),
        sa.Column("rebuilt_as", sa.String(64), nullable=True),
        sa.Column("rebuilt_from", sa.String(64), nullable=True),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_datasets")),
    )
    op.create_table(
        "dataset_subjects",
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("dataset", sa.String(64), nullable=False),
        sa.Column("row", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("subject", "dataset", "row", name=op.f("pk_dataset_subjects")),
    )
    op.create_index(op.f("ix_dataset_subjects_dataset"), "dataset_subjects", ["dataset"])
    op.create_index(op.f("ix_dataset_subjects_row"), "dataset_subjects", ["row"])
    op.create_table(
        "held_out",
        sa.Column("intent", sa.String(256), nullable=False),
        sa.Column("exchange_id", sa.String(128), nullable=False),
        sa.Column("row", sa.String(64), nullable=False),
        sa.Column("dataset", sa.String(64), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("intent", "exchange_id", name=op.f("pk_held_out")),
    )
    op.create_index(op.f("ix_held_out_dataset"), "held_out", ["dataset"])


def downgrade() -> None:
    op.drop_table("held_out")
    op.drop_table("dataset_subjects")
    op.drop_table("datasets")
