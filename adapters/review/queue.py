"""What goes into the queue by itself, one run after the other.

Every exchange that may be learnt from is opened for review, as long as there is room. When there is
none, the intents that have most waiting give way, with what is worth least in them: a queue full of
one sort of question teaches nothing about the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import ColumnElement, exists, func, not_, select
from sqlalchemy.orm import Session

from adapters.corpus.exchange import Exchange, ExchangeState
from adapters.corpus.models import ExchangeRow, SightingRow
from adapters.review import rows
from adapters.review.item import Demanded, Kind, State
from adapters.review.models import FollowedRow, ReviewRow, VerdictRow
from adapters.review.parts import AT_ONCE, ReviewParts
from adapters.review.priority import Tier, weight_of

REVIEW: Final = "review"
"""In an exchange's details: ``{id, decision_id, rules, when}`` of what rules want of it."""
Told = Mapping[str, Any]
"""Of an event: the review's id, and of one that rules want its decision and rules."""
_MAX_ID: Final = 80
_GIVE_WAY: Final = 50
"""Of one run's exchanges, how many may take the place of others."""
_ROOM_AGAIN: Final = 0.8
"""Share of the queue below which those that found no room are looked at again."""


class Queue:
    """Methods block; each is to be called again and again, by one thread."""

    def __init__(self, parts: ReviewParts) -> None:
        self._parts = parts
        self.left_out = 0
        """Exchanges that found no room since the start, and those that gave way."""

    def fill(self) -> bool:
        """Open what is new, weigh anew what changed; whether there may be more."""
        with self._parts.store.read() as session:
            followed = session.get_one(FollowedRow, 1)
            changed, left_out = followed.changed, followed.left_out
            waiting = self._waiting(session)
        if left_out and waiting < self._parts.config.queue * _ROOM_AGAIN:
            changed, left_out = 0, False
        found = self._parts.corpus.since(changed, AT_ONCE)
        if found.after is None:
            return False
        after = found.after

        def work(session: Session) -> list[Told]:
            opened, full = self._take(session, found.exchanges)
            followed = session.get_one(FollowedRow, 1)
            followed.changed, followed.left_out = after, left_out or full
            return opened

        for each in self._parts.store.write(work):
            self._parts.events.emit("review", state=State.OPEN.value, **each)
        return len(found.exchanges) == AT_ONCE

    def _take(self, session: Session, exchanges: Iterable[Exchange]) -> tuple[list[Told], bool]:
        """What is to be told of those that were opened; whether there was no room for some."""
        now, some = self._parts.clock(), list(exchanges)
        demanded = [each for each in (_demanded(session, one, now) for one in some) if each]
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
        room = max(self._parts.config.queue - self._waiting(session), 0)
        opened = [rows.opened(session, each, now).id for each in new[:room]]
        late = new[room:]
        opened += [
            rows.opened(session, each, now).id
            for each in late[:_GIVE_WAY]
            if self._gives_way(session, each, now)
        ]
        self.left_out += len(late)
        told: list[Told] = [asdict(each) for each in demanded]
        return [*told, *({"id": each} for each in opened)], bool(late)

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

    def attach(self) -> None:
        """Give reviews that rules demanded the exchanges that came after them."""
        with self._parts.store.read() as session:
            waiting = select(ReviewRow.id).where(*_awaiting()).limit(1)
            if session.scalar(waiting) is None:
                return
            pairs = session.execute(
                select(ReviewRow.id, ExchangeRow.id)
                .join(SightingRow, SightingRow.decision_id == ReviewRow.decision_id)
                .join(ExchangeRow, ExchangeRow.seq == SightingRow.exchange)
                .where(*_awaiting())
                .limit(AT_ONCE)
            ).all()
        exchanges = self._parts.corpus.found(exchange for _, exchange in pairs)

        def work(session: Session) -> None:
            for review, exchange_id in pairs:
                row, exchange = session.get(ReviewRow, review), exchanges.get(exchange_id)
                if row is None or exchange is None:
                    continue
                rows.attach(session, row, exchange)
                rows.place(session, self._parts.corpus, row, self._parts.clock())

        if pairs:
            self._parts.store.write(work)


def _demanded(session: Session, exchange: Exchange, now: float) -> Demanded | None:
    """The review that rules want, if this exchange is the first that tells of it."""
    told = exchange.details.get(REVIEW)
    if not isinstance(told, Mapping) or not isinstance(told.get("id"), str):
        return None
    wanted = Demanded(
        id=told["id"][:_MAX_ID],
        decision_id=str(told.get("decision_id") or exchange.decision_id),
        rules=tuple(map(str, told.get("rules") or ())),
        when=str(told.get("when", "")),
        tenant=exchange.tenant,
        intent=exchange.intent,
    )
    row = rows.demand(session, wanted, now)
    if row is None:
        return None
    rows.attach(session, row, exchange)
    return wanted


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
