"""What leaves the queue: claims that ended, reviews of nothing, what rules kept long enough."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from sqlalchemy import Select, delete, exists, func, not_, or_, select
from sqlalchemy.orm import Session, aliased

from adapters.corpus.erasing import erase
from adapters.corpus.exchanges import Exchanges
from adapters.corpus.models import ExchangeRow
from adapters.events import EventBus
from adapters.flywheel.config import ReviewsConfig
from adapters.flywheel.database import FlywheelStore
from adapters.review import rows
from adapters.review.item import Kind
from adapters.review.models import ReviewRow

_AT_ONCE: Final = 500
_DAY_S: Final = 86_400.0


class Tidying:
    """``tidy`` blocks; it is to be called again and again. It writes only where there is need.

    Args:
        store: the loop's database.
        corpus: the exchanges.
        config: how many and how long.
        events: told of what becomes free.
        clock: seconds since the epoch.

    Attributes:
        counts: items as they were found last; the disputed ones are open.
    """

    def __init__(
        self,
        store: FlywheelStore,
        corpus: Exchanges,
        config: ReviewsConfig,
        events: EventBus,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._corpus = corpus
        self._config = config
        self._events = events
        self._clock = clock
        self.counts = {"open": 0, "disputed": 0, "done": 0}

    def tidy(self) -> None:
        """Everything that is due."""
        self._expire()
        kept = self._found(self._kept_long_enough())
        if kept:
            self._store.write(lambda session: erase(session, kept))
        for query in (_orphans(), self._too_many()):
            gone = self._found(query)
            if gone:
                self._store.write(partial(_drop, gone))
        self.counts = self._counted()

    def _found(self, query: Select[Any]) -> Sequence[Any]:
        with self._store.read() as session:
            return session.scalars(query).all()

    def _expire(self) -> None:
        """Free what was claimed and not finished."""
        now = self._clock()
        over = select(ReviewRow).where(
            ReviewRow.claimed_by.is_not(None), ReviewRow.claimed_until <= now
        )

        def work(session: Session) -> list[tuple[str, str]]:
            freed = []
            for row in session.scalars(over.limit(_AT_ONCE)).all():
                row.claimed_by, row.claimed_until = None, 0.0
                rows.place(session, self._corpus, row, now)
                freed.append((row.id, row.state))
            return freed

        if self._found(over.with_only_columns(ReviewRow.id).limit(1)):
            for identity, state in self._store.write(work):
                self._events.emit("review", id=identity, state=state)

    def _kept_long_enough(self) -> Select[int]:
        """Exchanges that were kept for rules alone, whose reviews were all done long ago."""
        before = self._clock() - self._config.keep_days * _DAY_S
        review = aliased(ReviewRow)
        of_exchange = review.exchange_id == ExchangeRow.id
        later = exists().where(
            of_exchange, or_(review.settled_at.is_(None), review.settled_at >= before)
        )
        return (
            select(ExchangeRow.seq)
            .where(ExchangeRow.trains.is_(False), exists().where(of_exchange), not_(later))
            .limit(_AT_ONCE)
        )

    def _too_many(self) -> Select[str]:
        """Of what rules demanded, all but the newest; what is done goes first."""
        demanded = ReviewRow.kind == Kind.DEMANDED.value
        there = self._found(select(func.count()).select_from(ReviewRow).where(demanded))[0]
        more = min(max(there - self._config.queue, 0), _AT_ONCE)
        order = (ReviewRow.state, ReviewRow.opened_at)
        return select(ReviewRow.id).where(demanded).order_by(*order).limit(more)

    def _counted(self) -> dict[str, int]:
        query = select(ReviewRow.state, ReviewRow.disputed, func.count()).group_by(
            ReviewRow.state, ReviewRow.disputed
        )
        found = dict.fromkeys(self.counts, 0)
        with self._store.read() as session:
            for state, disputed, count in session.execute(query):
                found["disputed"] += count if disputed else 0
                if state in found:
                    found[state] += count
        return found


def _orphans() -> Select[str]:
    """Reviews whose exchange was erased or had to make room."""
    there = exists().where(ExchangeRow.id == ReviewRow.exchange_id)
    gone = select(ReviewRow.id).where(ReviewRow.exchange_id.is_not(None), not_(there))
    return gone.limit(_AT_ONCE)


def _drop(reviews: Sequence[str], session: Session) -> None:
    session.execute(delete(ReviewRow).where(ReviewRow.id.in_(reviews)))
