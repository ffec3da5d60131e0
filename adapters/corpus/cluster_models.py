"""Tables of clusters. Rows stay in this room; no text of an exchange is copied into them, but for
the examples of those that were made an intent.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Double, ForeignKey, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from adapters.corpus.models import Number
from adapters.flywheel.models import Base


class ClusterRow(Base):
    """One cluster. ``number`` is its age: lower is older."""

    __tablename__ = "clusters"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, unique=True)
    state: Mapped[str] = mapped_column(String(16), index=True)
    created_at: Mapped[float] = mapped_column(Double)
    mean: Mapped[bytes] = mapped_column(LargeBinary)
    """Of its members' vectors, centred; 32-bit floats."""
    size: Mapped[int] = mapped_column(BigInteger)
    """How many members are in the mean."""
    examples: Mapped[str] = mapped_column(Text)
    """Ids of exchanges as JSON, the one that it is named by first."""
    went_into: Mapped[str | None] = mapped_column(String(64))
    intent: Mapped[str | None] = mapped_column(String(256))
    alias: Mapped[str | None] = mapped_column(String(128))


class MemberRow(Base):
    """One exchange that is clustered; without a cluster it is alone. Goes with its exchange."""

    __tablename__ = "cluster_members"

    exchange: Mapped[int] = mapped_column(
        Number, ForeignKey("exchanges.seq", ondelete="CASCADE"), primary_key=True
    )
    exchange_id: Mapped[str] = mapped_column(String(64))
    cluster: Mapped[str | None] = mapped_column(String(64), index=True)
    vector: Mapped[bytes] = mapped_column(LargeBinary)
    """As the encoder gave it; 16-bit floats."""
    count: Mapped[int] = mapped_column(BigInteger)
    cost_usd: Mapped[float] = mapped_column(Double)
    was_about: Mapped[str | None] = mapped_column(String(256))
    """Its intent before its cluster was made one."""


class DayRow(Base):
    """How often an exchange came on a day; days are counted from the epoch, in UTC."""

    __tablename__ = "cluster_days"

    exchange: Mapped[int] = mapped_column(
        Number, ForeignKey("cluster_members.exchange", ondelete="CASCADE"), primary_key=True
    )
    day: Mapped[int] = mapped_column(primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)


class ExampleRow(Base):
    """An example of an intent that was made of a cluster: it outlives its exchange."""

    __tablename__ = "cluster_examples"

    cluster: Mapped[str] = mapped_column(String(64), primary_key=True)
    exchange_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(256))
    text: Mapped[str] = mapped_column(Text)
    subjects: Mapped[str] = mapped_column(Text)
    """Keyed hashes of persons, as JSON."""


class MoveRow(Base):
    """What became of a cluster, and who decided it: the newest of all clusters together."""

    __tablename__ = "cluster_moves"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    at: Mapped[float] = mapped_column(Double)
    actor: Mapped[str] = mapped_column(String(256))
    action: Mapped[str] = mapped_column(String(16))
    cluster: Mapped[str] = mapped_column(String(64), index=True)
    detail: Mapped[str] = mapped_column(String(256))


class ProgressRow(Base):
    """One row: how far clustering is."""

    __tablename__ = "cluster_progress"

    id: Mapped[int] = mapped_column(primary_key=True)
    changed: Mapped[int] = mapped_column(BigInteger)
    """The last change of an exchange that was looked at."""
    encoder: Mapped[str] = mapped_column(String(128))
    """Whose vectors these are."""
    centre: Mapped[bytes | None] = mapped_column(LargeBinary)
    grouped: Mapped[int] = mapped_column(BigInteger)
    """How many members there were when all were grouped anew."""
    grouped_at: Mapped[float] = mapped_column(Double)
    numbers: Mapped[int] = mapped_column(BigInteger)
    """Clusters that were ever made."""
