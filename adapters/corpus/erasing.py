"""Removing exchanges, with everything that hangs on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from adapters.corpus.models import EarlySignalRow, ErasedRow, ExchangeRow, SubjectRow, tally_of

_AT_ONCE: Final = 500
_ERASED: Final = 100_000
"""Persons whose late exchanges are still refused; what is on its way arrives long before."""


def erase_subject(session: Session, subject: str, at: float) -> int:
    """Remove what carries a person's data; what is older than ``at`` is not taken any more."""
    gone = erase(session, find_seqs(session, subject))
    mark = f'%"{subject}"%'
    of_subject = EarlySignalRow.subjects.like(mark)
    # Nobody knows whose those without a name are, so all of them go.
    session.execute(delete(EarlySignalRow).where(of_subject | (EarlySignalRow.subjects == "[]")))
    session.merge(ErasedRow(subject=subject, at=at))
    session.flush()
    newest = select(ErasedRow.at).order_by(ErasedRow.at.desc()).offset(_ERASED).limit(1)
    oldest = session.scalar(newest)
    if oldest is not None:
        session.execute(delete(ErasedRow).where(ErasedRow.at <= oldest))
    return gone


def erased_at(session: Session, subjects: Iterable[str]) -> dict[str, float]:
    """When those of these persons who were erased last were: what is older comes too late."""
    wanted, found = sorted(set(subjects)), dict[str, float]()
    for start in range(0, len(wanted), _AT_ONCE):
        these = ErasedRow.subject.in_(wanted[start : start + _AT_ONCE])
        query = select(ErasedRow.subject, ErasedRow.at).where(these)
        found.update((subject, at) for subject, at in session.execute(query))
    return found


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
        tally = tally_of(session)
        tally.exchanges -= count
        tally.size -= size
        gone += count
    return gone
