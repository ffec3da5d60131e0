"""Reading the tables of exchanges."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters.corpus.exchange import Exchange
from adapters.corpus.models import ExchangeRow, SubjectRow


def seen(session: Session, rows: Sequence[ExchangeRow]) -> list[Exchange]:
    """Rows as others see them."""
    of: dict[int, list[str]] = {}
    query = (
        select(SubjectRow.exchange, SubjectRow.subject)
        .where(SubjectRow.exchange.in_([row.seq for row in rows]))
        .order_by(SubjectRow.subject)
    )
    for seq, subject in session.execute(query):
        of.setdefault(seq, []).append(subject)
    return [row.exchange(tuple(of.get(row.seq, ()))) for row in rows]
