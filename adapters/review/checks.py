"""Items with a known answer, mixed in among the others: they measure reviewers.

What several settled on is the best known; where one verdict settles, what one did. Who judged the
original is never shown its copy, and nothing is learnt from what is said of it.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable
from typing import Final

from sqlalchemy import ColumnElement, delete, exists, func, not_, select
from sqlalchemy.orm import Session, aliased

from adapters.corpus.exchanges import Exchanges
from adapters.flywheel.database import FlywheelStore
from adapters.review import rows
from adapters.review.item import RETIRED, Kind, State
from adapters.review.models import ReviewRow, VerdictRow
from adapters.review.verdicts import Outcome

_MOST: Final = 50
_A_RUN: Final = 5
"""A few at a time, so that they are not all of one hour."""
_RETIRED_AFTER_S: Final = 30 * 86_400.0
_RETIRED_AFTER: Final = 20
"""Verdicts; more would say little more of the item."""
_KEPT: Final = 5000
"""Retired ones, for what they say of reviewers."""


class Checks:
    """Keeps their share. ``keep_up`` blocks; it is to be called again and again.

    Args:
        store: the loop's database.
        corpus: the exchanges.
        share: of the items that are open.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        store: FlywheelStore,
        corpus: Exchanges,
        share: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._corpus = corpus
        self._share = share
        self._clock = clock

    def keep_up(self) -> int:
        """Retire those that have done their work, and make as many as are missing."""
        with self._store.read() as session:
            there = session.scalar(select(func.count()).select_from(ReviewRow).where(_is_check()))
            if not there and not self._share:
                return 0
            sources = self._sources(session) if self._share else []
        exchanges = self._corpus.found(exchange for _, exchange in sources)

        def work(session: Session) -> int:
            now = self._clock()
            _retire(session, now)
            made = 0
            for source, exchange_id in sources[: self._missing(session)]:
                row, exchange = session.get(ReviewRow, source), exchanges.get(exchange_id)
                if row is None or row.outcome is None or exchange is None:
                    continue
                known = {"outcome": row.outcome, "answer": row.answer or ""}
                check = rows.new_row(f"rev_{secrets.token_hex(12)}", Kind.CHECK, now, known=known)
                session.add(check)
                rows.about(session, check, exchange)
                made += 1
            return made

        return self._store.write(work)

    def _missing(self, session: Session) -> int:
        opened = ReviewRow.state == State.OPEN.value
        others = session.scalar(
            select(func.count()).select_from(ReviewRow).where(opened, not_(_is_check()))
        )
        checks = session.scalar(
            select(func.count()).select_from(ReviewRow).where(opened, _is_check())
        )
        wanted = math.ceil((others or 0) * self._share / (1 - self._share))
        return max(0, min(wanted, _MOST) - (checks or 0))

    def _sources(self, session: Session) -> list[tuple[str, str]]:
        """Settled items that measure nobody yet: what several settled on first, else by chance."""
        check = aliased(ReviewRow)
        copied = exists().where(
            check.exchange_id == ReviewRow.exchange_id, check.kind == Kind.CHECK.value
        )
        found = session.execute(
            select(ReviewRow.id, ReviewRow.exchange_id)
            .where(
                ReviewRow.kind == Kind.EXCHANGE.value,
                ReviewRow.outcome.in_([Outcome.GOLD.value, Outcome.REJECTED.value]),
                ReviewRow.exchange_id.is_not(None),
                not_(copied),
            )
            .order_by((ReviewRow.verdicts > 1).desc(), func.random())
            .limit(_A_RUN)
        )
        return [(review, str(exchange)) for review, exchange in found]


def _is_check() -> ColumnElement[bool]:
    return ReviewRow.kind == Kind.CHECK.value


def _retire(session: Session, now: float) -> None:
    judged = (
        select(func.count())
        .select_from(VerdictRow)
        .where(VerdictRow.review_id == ReviewRow.id, VerdictRow.undone_at.is_(None))
        .scalar_subquery()
    )
    done = select(ReviewRow).where(
        _is_check(),
        ReviewRow.state == State.OPEN.value,
        (judged >= _RETIRED_AFTER) | (ReviewRow.opened_at < now - _RETIRED_AFTER_S),
    )
    for row in session.scalars(done).all():
        row.state, row.settled_at = RETIRED, now
    retired = (_is_check(), ReviewRow.state == RETIRED)
    kept = session.scalar(select(func.count()).select_from(ReviewRow).where(*retired)) or 0
    oldest = select(ReviewRow.id).where(*retired).order_by(ReviewRow.opened_at)
    if kept > _KEPT:
        ids = session.scalars(oldest.limit(kept - _KEPT)).all()
        session.execute(delete(ReviewRow).where(ReviewRow.id.in_(ids)))
