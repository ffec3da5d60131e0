"""Tables of distillations."""

from __future__ import annotations

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Filled in by the room that owns them."""


def downgrade() -> None:
    """Nothing yet."""
