"""Removing exchanges, with everything that hangs on them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from adapters.corpus.models import ExchangeRow, SubjectRow, TallyRow

_AT_ONCE = 500


def find_seqs(session: Session, subject: str) -> list[int]:
    """Those that carry a person's data."""
    query = select(SubjectRow.exchange).where(SubjectRow.subject == subject)
    return [*session.scalars(query)]


def erase(session: Session, seqs: Sequence[int]) -> int:
    """Remove these; how many there were."""
    gone = 0
    for start in range(0, len(seqs), _AT_ONCE):
        these = ExchangeRow.seq.in_(seqs[start : start + _AT_ONCE])
        count, size = session.execute(
            select(func.count(), func.coalesce(func.sum(ExchangeRow.size), 0)).where(these)
        ).one()
        session.execute(delete(ExchangeRow).where(these))
        tally = session.get_one(TallyRow, 1)
        tally.exchanges -= count
        tally.size -= size
        gone += count
    return gone
