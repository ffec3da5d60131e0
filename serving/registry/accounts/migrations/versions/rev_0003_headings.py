"""Usage is told apart by intent too, and has the time that was booked to each heading."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_NAMES = {"key": 256, "tenant": 256, "route": 320, "target": 512, "holder": 256}
_COUNTS = (
    "requests",
    "refused",
    "cache_hits",
    "attempts",
    "input_tokens",
    "output_tokens",
    "nano_usd",
)
_TIMES = (
    "target_us",
    "routing_us",
    "governance_us",
    "context_stitching_us",
    "monitoring_us",
    "policy_us",
    "data_prep_us",
    "audit_us",
)


def upgrade() -> None:
    kept = ("hour", *_NAMES, *_COUNTS)
    values = ", ".join((*kept, "'none'", *("0" for _ in _TIMES)))
    _made_anew({**_NAMES, "intent": 256}, (*_COUNTS, *_TIMES), (*kept, "intent", *_TIMES), values)


def downgrade() -> None:
    sums = ", ".join(f"SUM({name})" for name in _COUNTS)
    group = ", ".join(("hour", *_NAMES))
    _made_anew(
        _NAMES, _COUNTS, ("hour", *_NAMES, *_COUNTS), f"{group}, {sums}", f" GROUP BY {group}"
    )


def _made_anew(
    names: dict[str, int],
    counts: tuple[str, ...],
    columns: tuple[str, ...],
    values: str,
    grouped: str = "",
) -> None:
    """SQLite cannot change a primary key: the rows wait in another table meanwhile."""
    op.execute("CREATE TABLE usage_kept AS SELECT * FROM usage")
    op.drop_table("usage")
    op.create_table(
        "usage",
        sa.Column("hour", sa.BigInteger(), autoincrement=False, nullable=False),
        *(sa.Column(name, sa.String(size), nullable=False) for name, size in names.items()),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in counts),
        sa.PrimaryKeyConstraint("hour", *names, name=op.f("pk_usage")),
    )
    op.create_index("ix_usage_hour", "usage", ["hour"])
    into = ", ".join(columns)
    op.execute(f"INSERT INTO usage ({into}) SELECT {values} FROM usage_kept{grouped}")  # noqa: S608
    op.drop_table("usage_kept")
