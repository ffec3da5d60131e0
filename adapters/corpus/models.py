"""Tables of exchanges. Rows stay in this room; everyone else sees ``Exchange``."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import BigInteger, Double, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, Session, mapped_column

from adapters.corpus.exchange import Exchange, ExchangeState
from adapters.flywheel.models import Base

Number = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only where their type is its own."""


class ExchangeRow(Base):
    """One exchange. ``seq`` is the order of arrival, ``changed`` that of the last change."""

    __tablename__ = "exchanges"
    __table_args__ = (
        Index("ix_exchanges_intent_seq", "intent", "seq"),
        Index("ix_exchanges_state_seq", "state", "seq"),
        Index("ix_exchanges_intent_state_seq", "intent", "state", "seq"),
        Index("ix_exchanges_worth_seq", "worth", "seq"),
        {"sqlite_autoincrement": True},
    )

    seq: Mapped[int] = mapped_column(Number, primary_key=True)
    id: Mapped[str] = mapped_column(String(64), unique=True)
    changed: Mapped[int] = mapped_column(BigInteger, index=True)
    at: Mapped[float] = mapped_column(Double)
    intent: Mapped[str] = mapped_column(String(256))
    tenant: Mapped[str] = mapped_column(String(256))
    target: Mapped[str] = mapped_column(String(512))
    state: Mapped[str] = mapped_column(String(16))
    messages: Mapped[str] = mapped_column(Text)
    response: Mapped[str] = mapped_column(Text)
    count: Mapped[int] = mapped_column(BigInteger)
    session: Mapped[str] = mapped_column(String(512))
    decision_id: Mapped[str] = mapped_column(String(128))
    confidence: Mapped[float | None] = mapped_column(Double)
    cost_usd: Mapped[float] = mapped_column(Double)
    signals: Mapped[str] = mapped_column(Text)
    details: Mapped[str] = mapped_column(Text)
    trains: Mapped[bool]
    fold: Mapped[str] = mapped_column(String(64), unique=True)
    """What duplicates have in common."""
    size: Mapped[int]
    """Bytes of its texts."""
    worth: Mapped[int]
    """What is worth least goes first when there is no room."""

    def exchange(self, subjects: tuple[str, ...]) -> Exchange:
        """As others see it."""
        return Exchange(
            id=self.id,
            at=self.at,
            intent=self.intent,
            tenant=self.tenant,
            target=self.target,
            messages=tuple(json.loads(self.messages)),
            response=self.response,
            state=ExchangeState(self.state),
            count=self.count,
            session=self.session,
            decision_id=self.decision_id,
            subjects=subjects,
            confidence=self.confidence,
            cost_usd=self.cost_usd,
            signals=tuple(json.loads(self.signals)),
            details=json.loads(self.details),
            trains=self.trains,
        )


def _owner() -> Any:
    return mapped_column(Number, ForeignKey("exchanges.seq", ondelete="CASCADE"), index=True)


class SubjectRow(Base):
    """Whose data an exchange carries."""

    __tablename__ = "exchange_subjects"

    subject: Mapped[str] = mapped_column(String(64), primary_key=True)
    exchange: Mapped[int] = mapped_column(
        Number, ForeignKey("exchanges.seq", ondelete="CASCADE"), primary_key=True, index=True
    )


class SightingRow(Base):
    """One request that an exchange stands for: what was delivered twice counts once."""

    __tablename__ = "exchange_sightings"
    __table_args__ = ({"sqlite_autoincrement": True},)

    number: Mapped[int] = mapped_column(Number, primary_key=True)
    decision_id: Mapped[str] = mapped_column(String(128), unique=True)
    exchange: Mapped[int] = _owner()


class EarlySignalRow(Base):
    """What was said of a request whose exchange has not come yet."""

    __tablename__ = "exchange_early_signals"
    __table_args__ = ({"sqlite_autoincrement": True},)

    number: Mapped[int] = mapped_column(Number, primary_key=True)
    decision_id: Mapped[str] = mapped_column(String(128), index=True)
    names: Mapped[str] = mapped_column(Text)
    details: Mapped[str] = mapped_column(Text)
    subjects: Mapped[str] = mapped_column(Text)


class ErasedRow(Base):
    """Who was erased, and when: what is older and arrives later is not taken."""

    __tablename__ = "exchange_erased"

    subject: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[float] = mapped_column(Double, index=True)


class LikenessRow(Base):
    """Under which keys texts that are nearly equal are found."""

    __tablename__ = "exchange_likenesses"
    key: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    exchange: Mapped[int] = mapped_column(
        Number, ForeignKey("exchanges.seq", ondelete="CASCADE"), primary_key=True, index=True
    )


class TallyRow(Base):
    """One row: how much there is, so that nobody has to count."""

    __tablename__ = "exchange_tally"

    id: Mapped[int] = mapped_column(primary_key=True)
    exchanges: Mapped[int] = mapped_column(BigInteger)
    size: Mapped[int] = mapped_column(BigInteger)
    changed: Mapped[int] = mapped_column(BigInteger)
    """The newest ``changed`` that was given out."""


def tally_of(session: Session) -> TallyRow:
    """The one row, which is made with the first use where tables were emptied by hand."""
    row = session.get(TallyRow, 1)
    if row is None:
        row = TallyRow(id=1, exchanges=0, size=0, changed=0)
        session.add(row)
    return row
