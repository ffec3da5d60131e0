"""What leaves the queue: claims that ended, reviews of nothing, what rules kept long enough."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from sqlalchemy import Select, delete, exists, func, not_, or_, select
from sqlalchemy.orm import Session, aliased

from adapters.corpus.erasing import erase
from adapters.corpus.models import ExchangeRow
from adapters.review import rows
from adapters.review.item import Kind, State
from adapters.review.models import ReviewRow, VerdictRow
from adapters.review.parts import AT_ONCE, ReviewParts
from adapters.review.verdicts import Verdict

_DAY_S: Final = 86_400.0


class Tidying:
    """``tidy`` blocks; it is to be called again and again. It writes only where there is need.

    Attributes:
        counts: items as they were found last; the disputed ones are open.
    """

    def __init__(self, parts: ReviewParts) -> None:
        self._parts = parts
        self.counts = {"open": 0, "disputed": 0, "done": 0}

    def tidy(self) -> None:
        """Everything that is due."""
        self._expire()
        self._end_escalations()
        kept = self._parts.found(self._kept_long_enough())
        if kept:
            self._parts.store.write(lambda session: erase(session, kept))
        for query in (_orphans(), self._too_many()):
            gone = self._parts.found(query)
            if gone:
                self._parts.store.write(partial(_drop, gone))
        self.counts = self._counted()

    def _expire(self) -> None:
        """Free what was claimed and not finished."""
        over = select(ReviewRow).where(
            ReviewRow.claimed_by.is_not(None), ReviewRow.claimed_until <= self._parts.clock()
        )
        self._parts.change(over, lambda _session, row, _now: rows.free(row))

    def _end_escalations(self) -> None:
        """Close what nobody else judged in the time that there was for it."""
        now = self._parts.clock()
        asked = select(func.max(VerdictRow.at)).where(
            VerdictRow.review_id == ReviewRow.id,
            VerdictRow.verdict == Verdict.ESCALATE.value,
            VerdictRow.undone_at.is_(None),
        )
        over = select(ReviewRow).where(
            ReviewRow.escalated,
            rows.in_state(State.OPEN, now),
            asked.scalar_subquery() <= now - self._parts.config.escalated_days * _DAY_S,
        )
        self._parts.change(over, lambda _session, row, at: rows.end_unanswered(row, at))

    def _kept_long_enough(self) -> Select[int]:
        """Exchanges that were kept for rules alone, whose reviews were all done long ago."""
        before = self._parts.clock() - self._parts.config.keep_days * _DAY_S
        review = aliased(ReviewRow)
        of_exchange = review.exchange_id == ExchangeRow.id
        later = exists().where(
            of_exchange, or_(review.settled_at.is_(None), review.settled_at >= before)
        )
        return (
            select(ExchangeRow.seq)
            .where(ExchangeRow.trains.is_(False), exists().where(of_exchange), not_(later))
            .limit(AT_ONCE)
        )

    def _too_many(self) -> Select[str]:
        """Of what rules demanded, all but the newest; what is done goes first."""
        demanded = ReviewRow.kind == Kind.DEMANDED.value
        there = self._parts.found(select(func.count()).select_from(ReviewRow).where(demanded))[0]
        more = min(max(there - self._parts.config.queue, 0), AT_ONCE)
        order = (ReviewRow.state, ReviewRow.opened_at)
        return select(ReviewRow.id).where(demanded).order_by(*order).limit(more)

    def _counted(self) -> dict[str, int]:
        query = select(ReviewRow.state, ReviewRow.disputed, func.count()).group_by(
            ReviewRow.state, ReviewRow.disputed
        )
        found = dict.fromkeys(self.counts, 0)
        with self._parts.store.read() as session:
            for state, disputed, count in session.execute(query):
                found["disputed"] += count if disputed else 0
                if state in found:
                    found[state] += count
        return found


def _orphans() -> Select[str]:
    """Reviews whose exchange was erased or had to make room."""
    there = exists().where(ExchangeRow.id == ReviewRow.exchange_id)
    gone = select(ReviewRow.id).where(ReviewRow.exchange_id.is_not(None), not_(there))
    return gone.limit(AT_ONCE)


def _drop(reviews: Sequence[str], session: Session) -> None:
    session.execute(delete(ReviewRow).where(ReviewRow.id.in_(reviews)))
