"""What reviews keep of persons: verdicts, comments and candidates on their exchanges."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sqlalchemy import Select, delete, func, or_, select
from sqlalchemy.orm import Session

from adapters.corpus.models import ExchangeRow, SubjectRow
from adapters.flywheel.database import FlywheelStore
from adapters.review.models import ReviewRow, SubjectOfReview


class ReviewsOfPersons:
    """One room of an erasure.

    Args:
        store: the loop's database.
        hash_of: what stands for a person.
    """

    counted_as = "reviews"

    def __init__(self, store: FlywheelStore, hash_of: Callable[[str], str]) -> None:
        self._store = store
        self._hash_of = hash_of

    async def found(self, subject: str) -> int:
        """How many reviews carry this person's data."""
        return await asyncio.to_thread(self._found, self._hash_of(subject))

    async def erase(self, subject: str) -> int:
        """Remove them; how many there were."""
        return await asyncio.to_thread(self._erase, self._hash_of(subject))

    def _found(self, hashed: str) -> int:
        with self._store.read() as session:
            return session.scalar(select(func.count()).select_from(_of(hashed).subquery())) or 0

    def _erase(self, hashed: str) -> int:
        def work(session: Session) -> int:
            ids = session.scalars(_of(hashed)).all()
            for start in range(0, len(ids), 500):
                some = ids[start : start + 500]
                session.execute(delete(ReviewRow).where(ReviewRow.id.in_(some)))
            return len(ids)

        return self._store.write(work)


def _of(hashed: str) -> Select[str]:
    """Those that carry a person's data, and those of exchanges that do: an exchange may be of one
    person more since the queue looked at it last.
    """
    told = select(SubjectOfReview.review_id).where(SubjectOfReview.subject == hashed)
    exchanges = (
        select(ExchangeRow.id)
        .join(SubjectRow, SubjectRow.exchange == ExchangeRow.seq)
        .where(SubjectRow.subject == hashed)
    )
    return select(ReviewRow.id).where(
        or_(ReviewRow.id.in_(told), ReviewRow.exchange_id.in_(exchanges))
    )
