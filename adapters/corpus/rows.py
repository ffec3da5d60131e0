"""Reading the tables of exchanges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters.corpus.exchange import Exchange
from adapters.corpus.models import ExchangeRow, SubjectRow

_AT_ONCE: Final = 500


def seen(session: Session, rows: Sequence[ExchangeRow]) -> list[Exchange]:
    """Rows as others see them."""
    of: dict[int, list[str]] = {}
    for start in range(0, len(rows), _AT_ONCE):
        these = [row.seq for row in rows[start : start + _AT_ONCE]]
        query = (
            select(SubjectRow.exchange, SubjectRow.subject)
            .where(SubjectRow.exchange.in_(these))
            .order_by(SubjectRow.subject)
        )
        for seq, subject in session.execute(query):
            of.setdefault(seq, []).append(subject)
    return [row.exchange(tuple(of.get(row.seq, ()))) for row in rows]


def rows_of(session: Session, ids: Sequence[str]) -> list[ExchangeRow]:
    """The rows of these ids, as far as they are there."""
    found: list[ExchangeRow] = []
    for start in range(0, len(ids), _AT_ONCE):
        these = ExchangeRow.id.in_(ids[start : start + _AT_ONCE])
        found += session.scalars(select(ExchangeRow).where(these).order_by(ExchangeRow.seq))
    return found
