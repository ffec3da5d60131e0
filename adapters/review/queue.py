"""What goes into the queue by itself, and what leaves it, one run after the other.

Every exchange that may be learnt from is opened for review, as long as there is room. When there is
none, the intents that have most waiting give way, with what is worth least in them: a queue full of
one sort of question teaches nothing about the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from sqlalchemy import ColumnElement, and_, delete, exists, func, not_, or_, select
from sqlalchemy.orm import Session, aliased

from adapters.corpus.erasing import erase
from adapters.corpus.exchange import Exchange, ExchangeState
from adapters.corpus.exchanges import Exchanges
from adapters.corpus.models import ExchangeRow, SightingRow
from adapters.events import EventBus
from adapters.flywheel.config import ReviewsConfig
from adapters.flywheel.database import FlywheelStore
from adapters.review import rows
from adapters.review.item import Demanded, Kind, State
from adapters.review.models import FollowedRow, ReviewRow, VerdictRow
from adapters.review.priority import Tier, weight_of

REVIEW: Final = "review"
"""In an exchange's details: ``{id, rules, when}`` of the review that rules want of it."""
_MAX_ID: Final = 80
_AT_ONCE: Final = 500
_DAY_S: Final = 86_400.0
_GIVE_WAY: Final = 50
"""Of one run's exchanges, how many may take the place of others."""
_ROOM_AGAIN: Final = 0.8
"""Share of the queue below which those that found no room are looked at again."""


class Queue:
    """Methods block; each is to be called again and again, by one thread.

    Args:
        store: the loop's database.
        corpus: the exchanges.
        config: how many may wait.
        events: told of what is opened and what becomes free.
        clock: seconds since the epoch.
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
        """Items as ``tidy`` last found them; the disputed ones are open."""
        self.left_out = 0
        """Exchanges that found no room since the start, and those that gave way."""

    def fill(self) -> bool:
        """Open what is new, weigh anew what changed; whether there may be more."""
        with self._store.read() as session:
            followed = session.get_one(FollowedRow, 1)
            changed, left_out = followed.changed, followed.left_out
            waiting = self._waiting(session)
        if left_out and waiting < self._config.queue * _ROOM_AGAIN:
            changed, left_out = 0, False
        found = self._corpus.since(changed, _AT_ONCE)
        if found.after is None:
            return False
        after = found.after

        def work(session: Session) -> list[str]:
            opened, full = self._take(session, found.exchanges)
            followed = session.get_one(FollowedRow, 1)
            followed.changed, followed.left_out = after, left_out or full
            return opened

        for each in self._store.write(work):
            self._events.emit("review", id=each, state=State.OPEN.value)
        return len(found.exchanges) == _AT_ONCE

    def _take(self, session: Session, exchanges: Iterable[Exchange]) -> tuple[list[str], bool]:
        """Those that were opened; whether there was no room for some."""
        now, some = self._clock(), list(exchanges)
        demanded = [each for each in some if _demanded(session, each, now)]
        known = {
            row.exchange_id: row
            for row in session.scalars(
                select(ReviewRow).where(
                    ReviewRow.exchange_id.in_([each.id for each in some]),
                    ReviewRow.kind == Kind.EXCHANGE.value,
                )
            )
        }
        for each in some:
            if each.id in known:
                rows.about(session, known[each.id], each)
        new = [
            each
            for each in some
            if each.trains and each.state is ExchangeState.CAPTURED and each.id not in known
        ]
        new.sort(key=weight_of, reverse=True)
        room = max(self._config.queue - self._waiting(session), 0)
        opened = [each.details[REVIEW]["id"] for each in demanded]
        opened += [_opened(session, each, now) for each in new[:room]]
        late = new[room:]
        opened += [
            _opened(session, each, now)
            for each in late[:_GIVE_WAY]
            if self._gives_way(session, each, now)
        ]
        self.left_out += len(late)
        return opened, bool(late)

    def _waiting(self, session: Session) -> int:
        return session.scalar(select(func.count()).select_from(ReviewRow).where(*_usual())) or 0

    def _gives_way(self, session: Session, exchange: Exchange, now: float) -> bool:
        """Make room by what is worth less, or by what there is more of."""
        by_intent = (
            select(ReviewRow.intent)
            .where(*_usual())
            .group_by(ReviewRow.intent)
            .order_by(func.count().desc(), ReviewRow.intent)
            .limit(1)
        )
        crowded = session.scalar(by_intent)
        least = session.scalar(
            select(ReviewRow)
            .where(*_usual(), ReviewRow.intent == crowded, not_(rows.is_claimed(now)), _untouched())
            .order_by(ReviewRow.weight, ReviewRow.id.desc())
            .limit(1)
        )
        if least is None:
            return False
        if exchange.intent == crowded and weight_of(exchange) <= least.weight:
            return False
        session.delete(least)
        session.flush()
        return True

    def tidy(self) -> None:
        """Free what nobody finished, and drop what is about nothing any more."""
        self._expire()
        self._store.write(_drop_orphans)
        self._store.write(lambda session: _bound(session, self._config.queue))
        before = self._clock() - self._config.keep_days * _DAY_S
        self._store.write(lambda session: _forget(session, before))

        self.counts = self._counted()

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

    def _expire(self) -> None:
        now = self._clock()

        def work(session: Session) -> list[tuple[str, str]]:
            over = select(ReviewRow).where(
                ReviewRow.claimed_by.is_not(None), ReviewRow.claimed_until <= now
            )
            freed = []
            for row in session.scalars(over.limit(_AT_ONCE)).all():
                row.claimed_by, row.claimed_until = None, 0.0
                self._place(session, row)
                freed.append((row.id, row.state))
            return freed

        for identity, state in self._store.write(work):
            self._events.emit("review", id=identity, state=state)

    def _place(self, session: Session, row: ReviewRow) -> None:
        """Move an exchange to where its review has it."""
        if row.kind == Kind.EXCHANGE and row.exchange_id is not None:
            state = rows.state_of_exchange(session, row, self._clock())
            self._corpus.place(session, [row.exchange_id], state)

    def attach(self) -> None:
        """Give reviews that rules demanded the exchanges that came after them."""
        with self._store.read() as session:
            waiting = select(ReviewRow.id).where(*_awaiting()).limit(1)
            if session.scalar(waiting) is None:
                return
            pairs = session.execute(
                select(ReviewRow.id, ExchangeRow.id)
                .join(SightingRow, SightingRow.decision_id == ReviewRow.decision_id)
                .join(ExchangeRow, ExchangeRow.seq == SightingRow.exchange)
                .where(*_awaiting())
                .limit(_AT_ONCE)
            ).all()
        exchanges = self._corpus.found(exchange for _, exchange in pairs)

        def work(session: Session) -> None:
            for review, exchange_id in pairs:
                row, exchange = session.get(ReviewRow, review), exchanges.get(exchange_id)
                if row is None or exchange is None:
                    continue
                rows.attach(session, row, exchange)
                self._place(session, row)

        if pairs:
            self._store.write(work)


def _demanded(session: Session, exchange: Exchange, now: float) -> bool:
    """Whether an exchange is the first that tells of a review that rules want."""
    told = exchange.details.get(REVIEW)
    if not isinstance(told, Mapping) or not isinstance(told.get("id"), str):
        return False
    wanted = Demanded(
        id=told["id"][:_MAX_ID],
        decision_id=exchange.decision_id,
        rules=tuple(map(str, told.get("rules") or ())),
        when=str(told.get("when", "")),
        tenant=exchange.tenant,
        intent=exchange.intent,
    )
    row = rows.demand(session, wanted, now)
    if row is not None:
        rows.attach(session, row, exchange)
    return row is not None


def _opened(session: Session, exchange: Exchange, now: float) -> str:
    row = session.get(ReviewRow, rows.name_of(exchange.id))
    if row is None:
        row = rows.new_row(rows.name_of(exchange.id), Kind.EXCHANGE, now)
        session.add(row)
    rows.about(session, row, exchange)
    return row.id


def _usual() -> tuple[ColumnElement[bool], ...]:
    return (
        ReviewRow.state == State.OPEN.value,
        ReviewRow.tier == Tier.USUAL.value,
        ReviewRow.kind == Kind.EXCHANGE.value,
    )


def _untouched() -> ColumnElement[bool]:
    return not_(exists().where(VerdictRow.review_id == ReviewRow.id))


def _awaiting() -> tuple[ColumnElement[bool], ...]:
    return (ReviewRow.kind == Kind.DEMANDED.value, ReviewRow.exchange_id.is_(None))


def _drop_orphans(session: Session) -> None:
    """Reviews whose exchange was erased or had to make room."""
    there = exists().where(ExchangeRow.id == ReviewRow.exchange_id)
    gone = select(ReviewRow.id).where(and_(ReviewRow.exchange_id.is_not(None), not_(there)))
    ids = session.scalars(gone.limit(_AT_ONCE)).all()
    if ids:
        session.execute(delete(ReviewRow).where(ReviewRow.id.in_(ids)))


def _bound(session: Session, most: int) -> None:
    """Of what rules demanded, the newest stay; what is done goes first."""
    demanded = ReviewRow.kind == Kind.DEMANDED.value
    there = session.scalar(select(func.count()).select_from(ReviewRow).where(demanded)) or 0
    if there <= most:
        return
    oldest = (
        select(ReviewRow.id)
        .where(demanded)
        .order_by(ReviewRow.state, ReviewRow.opened_at)
        .limit(min(there - most, _AT_ONCE))
    )
    session.execute(delete(ReviewRow).where(ReviewRow.id.in_(session.scalars(oldest).all())))


def _forget(session: Session, before: float) -> None:
    """Exchanges that were kept for rules alone, whose reviews were all done before then."""
    review = aliased(ReviewRow)
    later = exists().where(
        review.exchange_id == ExchangeRow.id,
        or_(review.settled_at.is_(None), review.settled_at >= before),
    )
    done = (
        select(ExchangeRow.seq)
        .join(ReviewRow, ReviewRow.exchange_id == ExchangeRow.id)
        .where(ExchangeRow.trains.is_(False), not_(later))
        .distinct()
        .limit(_AT_ONCE)
    )
    seqs = session.scalars(done).all()
    if seqs:
        of = select(ExchangeRow.id).where(ExchangeRow.seq.in_(seqs))
        session.execute(delete(ReviewRow).where(ReviewRow.exchange_id.in_(of)))
        erase(session, seqs)
