"""The queue of reviews: opened, claimed, judged, taken back; and the gold that comes out of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, exists, func, not_, or_, select
from sqlalchemy.orm import Session

from adapters.corpus.exchange import Exchange, ExchangeState
from adapters.events import EventBus
from adapters.flywheel.config import ReviewsConfig
from adapters.flywheel.database import FlywheelStore
from adapters.review import rows
from adapters.review.corpus import Corpus
from adapters.review.errors import (
    AlreadyJudged,
    BadAnswer,
    Held,
    NothingToUndo,
    UnknownExchange,
)
from adapters.review.gold import Gold
from adapters.review.item import RETIRED, Candidate, Kind, Review, State
from adapters.review.models import ReviewRow, VerdictRow
from adapters.review.priority import Tier
from adapters.review.verdicts import REVIEWER, Outcome, Verdict, folded

_CHUNK: Final = 500


@dataclass(frozen=True, slots=True)
class After:
    """Behind which item a page begins."""

    id: str
    tier: int = 0
    weight: float = 0.0
    settled_at: float = 0.0

    @classmethod
    def of(cls, review: Review) -> After:
        """Behind this one."""
        return cls(review.id, review.tier, review.weight, review.settled_at or 0.0)


class Reviews:
    """Methods block and are thread-safe; each that writes is one durable transaction.

    Args:
        store: the loop's database.
        corpus: the exchanges.
        config: how reviewers work.
        events: told of each item that changes its state, and of exchanges that it moves.
        consents: whether what a tenant's exchanges hold may be learnt, now.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        store: FlywheelStore,
        corpus: Corpus,
        config: ReviewsConfig,
        events: EventBus,
        *,
        consents: Callable[[str], bool] = lambda _tenant: True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._corpus = corpus
        self._config = config
        self._events = events
        self._consents = consents
        self._clock = clock

    # Opening

    def open(
        self,
        exchange_id: str,
        why: str | Iterable[str],
        *,
        candidates: Iterable[Candidate] = (),
        priority: int | None = None,
    ) -> str:
        """Have an exchange reviewed; the review's id, the same whenever it is asked again.

        Args:
            exchange_id: of the corpus.
            why: one signal or several.
            candidates: answers that reviewers may accept beside the one that was given.
            priority: at least this ``Tier``; by default what the exchange's signals say.

        Raises ``UnknownExchange``.
        """
        reasons = [why] if isinstance(why, str) else list(why)
        answers = list(candidates)
        exchange = self._corpus.find(exchange_id)
        if exchange is None:
            raise UnknownExchange(f"there is no exchange {exchange_id!r}")
        identity = rows.name_of(exchange.id)

        def work(session: Session, now: float) -> str:
            row = _deciding(session, exchange.id)
            if row is None:
                row = rows.new_row(identity, Kind.EXCHANGE, now)
                session.add(row)
            row.why = list(dict.fromkeys([*row.why, *reasons]))
            row.tier = max(row.tier, priority or Tier.USUAL)
            rows.about(session, row, exchange)
            rows.add_candidates(session, row, answers, now)
            return row.id

        return self._write(work)

    # Looking

    def find(self, identity: str) -> Review:
        """Everything about one item. Raises ``UnknownReview``."""
        now = self._clock()
        with self._store.read() as session:
            row = rows.row_of(session, identity)
            found = self._whole(session, row, now)
        exchange = None if row.exchange_id is None else self._corpus.find(row.exchange_id)
        return replace(found, exchange=exchange)

    def page(
        self,
        *,
        state: State | None = None,
        intent: str | None = None,
        reader: str = "",
        limit: int = 100,
        after: After | None = None,
    ) -> list[Review]:
        """What to do next first; of what is done, the newest first. Without histories.

        ``reader`` is not shown again what measured him.
        """
        now = self._clock()
        query = select(ReviewRow).where(ReviewRow.state != RETIRED)
        if state is not None:
            query = query.where(rows.in_state(state, now))
        if intent is not None:
            query = query.where(ReviewRow.intent == intent)
        judged = exists().where(
            VerdictRow.review_id == ReviewRow.id,
            VerdictRow.reviewer == reader,
            VerdictRow.undone_at.is_(None),
        )
        query = query.where(not_(and_(ReviewRow.kind == Kind.CHECK.value, judged)))
        if after is not None:
            query = query.where(_behind(after, state))
        query = query.order_by(*_order(state)).limit(limit)
        with self._store.read() as session:
            found = session.scalars(query).all()
            reviews = [rows.review_of(row, self._config.per_item, now) for row in found]
        wanted = [each.exchange_id for each in reviews if each.exchange_id is not None]
        exchanges = {each.id: each for each in self._corpus.find_all(wanted)}
        return [replace(each, exchange=exchanges.get(each.exchange_id or "")) for each in reviews]

    def _whole(self, session: Session, row: ReviewRow, now: float) -> Review:
        return rows.review_of(
            row,
            self._config.per_item,
            now,
            candidates=rows.candidates_of(session, row.id),
            verdicts=rows.verdicts_of(session, row.id),
        )

    # Working

    def claim(self, identity: str, reviewer: str) -> None:
        """Take an item, for ``lock_s``; again to keep it longer.

        Raises ``UnknownReview``, ``Held``, ``AlreadyJudged``.
        """

        def work(session: Session, now: float) -> None:
            row = rows.row_of(session, identity)
            _free_for(row, reviewer, now)
            if _own(session, identity, reviewer) is not None:
                raise AlreadyJudged(f"{reviewer} has judged {identity}")
            row.claimed_by, row.claimed_until = reviewer, now + self._config.lock_s

        self._change(identity, work)

    def release(self, identity: str, reviewer: str) -> None:
        """Give an item back that one holds; nothing happens when nobody holds it.

        Raises ``UnknownReview``, ``Held``.
        """

        def work(session: Session, now: float) -> None:
            row = rows.row_of(session, identity)
            _free_for(row, reviewer, now)
            row.claimed_by, row.claimed_until = None, 0.0

        self._change(identity, work)

    def judge(
        self,
        identity: str,
        reviewer: str,
        verdict: Verdict,
        *,
        answer: str | None = None,
        comment: str = "",
    ) -> None:
        """One reviewer's verdict; the claim ends with it.

        Args:
            identity: of the item; its claim is taken when it is free.
            reviewer: who says it.
            verdict: what is said.
            answer: the right one, with ``edit``; with ``accept`` one of the candidates, or nothing
                for the answer that was given. As it may be kept (law 6).
            comment: for the others, as it may be kept.

        Raises ``UnknownReview``, ``Held``, ``AlreadyJudged``, ``BadAnswer``, ``TooMany``.
        """
        given = self.find(identity)

        def work(session: Session, now: float) -> None:
            row = rows.row_of(session, identity)
            _free_for(row, reviewer, now)
            if _own(session, identity, reviewer) is not None:
                raise AlreadyJudged(f"{reviewer} has judged {identity}")
            item = replace(self._whole(session, row, now), exchange=given.exchange)
            right, source = _answer(item, verdict, answer)
            said = VerdictRow(
                review_id=identity,
                reviewer=reviewer,
                verdict=verdict.value,
                answer=right,
                source=source,
                comment=comment,
                at=now,
                undone_at=None,
                right=_is_right(row, verdict, right),
            )
            rows.add_verdict(session, row, said)
            row.claimed_by, row.claimed_until = None, 0.0
            rows.settle(session, row, self._config.per_item, now)

        self._change(identity, work)

    def undo(self, identity: str, reviewer: str) -> None:
        """Take one's own verdict back, and what it settled with it.

        Raises ``UnknownReview``, ``NothingToUndo``.
        """

        def work(session: Session, now: float) -> None:
            row = rows.row_of(session, identity)
            own = _own(session, identity, reviewer)
            if own is None:
                raise NothingToUndo(f"no verdict of {reviewer} on {identity} stands")
            own.undone_at = now
            rows.settle(session, row, self._config.per_item, now)

        self._change(identity, work)

    # Gold

    def gold(
        self,
        intents: Iterable[str] | None = None,
        tenants: Iterable[str] | None = None,
        since: float | None = None,
    ) -> list[Gold]:
        """What may be learnt from, oldest settled first; ``since`` is the exchange's time.

        Only of tenants that consent now, and only what no rule or check alone has kept (law 12).
        """
        wanted_intents = None if intents is None else list(intents)
        wanted_tenants = None if tenants is None else list(tenants)
        query = select(ReviewRow).where(*_gold())
        if wanted_intents is not None:
            query = query.where(ReviewRow.intent.in_(wanted_intents))
        if wanted_tenants is not None:
            query = query.where(ReviewRow.tenant.in_(wanted_tenants))
        query = query.order_by(ReviewRow.settled_at, ReviewRow.id)
        with self._store.read() as session:
            found = [(row, self._whole(session, row, 0.0)) for row in session.scalars(query).all()]
        exchanges = self._exchanges([row.exchange_id or "" for row, _ in found])
        made = [
            _gold_of(review, exchanges[review.exchange_id])
            for _, review in found
            if review.exchange_id in exchanges and self._consents(review.tenant)
        ]
        return [each for each in made if since is None or each.at >= since]

    def count_gold(self, intent: str | None = None, since: float | None = None) -> int:
        """How many gold answers there are; ``since`` is when they were settled."""
        query = select(ReviewRow.tenant, func.count()).where(*_gold()).group_by(ReviewRow.tenant)
        if intent is not None:
            query = query.where(ReviewRow.intent == intent)
        if since is not None:
            query = query.where(ReviewRow.settled_at >= since)
        with self._store.read() as session:
            found = session.execute(query).tuples().all()
        return sum(count for tenant, count in found if self._consents(tenant))

    def _exchanges(self, ids: list[str]) -> dict[str, Exchange]:
        found: dict[str, Exchange] = {}
        for start in range(0, len(ids), _CHUNK):
            some = self._corpus.find_all(ids[start : start + _CHUNK])
            found |= {each.id: each for each in some if each.trains}
        return found

    # Writing

    def _change(self, identity: str, work: Callable[[Session, float], Any]) -> None:
        """Do something to one item, move its exchange along, and tell."""

        def whole(session: Session, now: float) -> tuple[State, list[str], ExchangeState]:
            work(session, now)
            session.flush()
            row = rows.row_of(session, identity)
            state = rows.state_of_exchange(session, row, now)
            decides = row.kind == Kind.EXCHANGE and row.exchange_id is not None
            moved = self._corpus.place(session, [row.exchange_id or ""], state) if decides else []
            item = rows.review_of(row, self._config.per_item, now)
            return item.state, moved, state

        now_is, moved, state = self._write(whole)
        self._events.emit("review", id=identity, state=now_is.value)
        for each in moved:
            self._events.emit("exchange", id=each, state=state.value)

    def _write(self, work: Callable[[Session, float], Any]) -> Any:
        return self._store.write(lambda session: work(session, self._clock()))


def _deciding(session: Session, exchange_id: str) -> ReviewRow | None:
    return session.scalar(
        select(ReviewRow).where(
            ReviewRow.exchange_id == exchange_id, ReviewRow.kind == Kind.EXCHANGE.value
        )
    )


def _own(session: Session, identity: str, reviewer: str) -> VerdictRow | None:
    return session.scalar(
        select(VerdictRow).where(
            VerdictRow.review_id == identity,
            VerdictRow.reviewer == reviewer,
            VerdictRow.undone_at.is_(None),
        )
    )


def _free_for(row: ReviewRow, reviewer: str, now: float) -> None:
    if row.claimed_by not in {None, reviewer} and row.claimed_until > now:
        left = int(row.claimed_until - now) + 1
        raise Held(f"{row.claimed_by} holds {row.id} for {left} more seconds")


def _answer(item: Review, verdict: Verdict, answer: str | None) -> tuple[str, str]:
    """The answer that a verdict is about, and who gave it. Raises ``BadAnswer``."""
    if verdict in {Verdict.REJECT, Verdict.ESCALATE}:
        if answer:
            raise BadAnswer(f"{verdict.value} takes no answer; edit does")
        return "", ""
    exchange = item.exchange
    if verdict is Verdict.EDIT:
        if answer is None or not answer.strip():
            raise BadAnswer("edit needs the right answer")
        return answer, ""
    given = ("", "") if exchange is None else (exchange.response, exchange.target)
    if answer is None:
        return given
    there = [given, *((each.answer, each.source) for each in item.candidates)]
    if item.disputed or item.escalated or item.state is State.DONE:
        there += [(said.answer, said.source or REVIEWER) for said in item.history]
    for text, source in there:
        if text and folded(text) == folded(answer):
            return text, source
    raise BadAnswer("no candidate has this answer; to write one, edit")


def _is_right(row: ReviewRow, verdict: Verdict, answer: str) -> bool | None:
    """Of an item that measures reviewers; None of others, and of who does not say."""
    if row.known is None or verdict is Verdict.ESCALATE:
        return None
    if verdict is Verdict.REJECT:
        return bool(row.known["outcome"] == Outcome.REJECTED)
    same = folded(str(row.known["answer"])) == folded(answer)
    return bool(row.known["outcome"] == Outcome.GOLD) and same


def _gold() -> tuple[ColumnElement[bool], ...]:
    return (ReviewRow.outcome == Outcome.GOLD.value, ReviewRow.kind == Kind.EXCHANGE.value)


def _gold_of(review: Review, exchange: Exchange) -> Gold:
    given = review.answer == exchange.response
    carrying = [
        said.reviewer
        for said in review.history
        if said.undone_at is None and folded(said.answer) == folded(review.answer or "")
    ]
    assert review.provenance is not None
    return Gold(
        exchange_id=exchange.id,
        at=exchange.at,
        settled_at=review.settled_at or 0.0,
        intent=exchange.intent,
        tenant=exchange.tenant,
        session=exchange.session,
        messages=exchange.messages,
        answer=review.answer or "",
        provenance=review.provenance,
        reviewers=tuple(carrying),
        teacher=review.source or exchange.target,
        subjects=exchange.subjects,
        details=exchange.details if given else None,
    )


def _order(state: State | None) -> tuple[Any, ...]:
    if state is State.DONE:
        return (ReviewRow.settled_at.desc(), ReviewRow.id)
    return (ReviewRow.tier.desc(), ReviewRow.weight.desc(), ReviewRow.id)


def _behind(after: After, state: State | None) -> ColumnElement[bool]:
    if state is State.DONE:
        return or_(
            ReviewRow.settled_at < after.settled_at,
            and_(ReviewRow.settled_at == after.settled_at, ReviewRow.id > after.id),
        )
    same_tier = ReviewRow.tier == after.tier
    return or_(
        ReviewRow.tier < after.tier,
        and_(same_tier, ReviewRow.weight < after.weight),
        and_(same_tier, ReviewRow.weight == after.weight, ReviewRow.id > after.id),
    )
