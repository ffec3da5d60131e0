"""Tables of exchanges."""

from __future__ import annotations

revision = "0001"
down_revision: str | None = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Filled in by the room that owns them."""


def downgrade() -> None:
    """Nothing yet."""
