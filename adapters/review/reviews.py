"""The queue of reviews: opened, claimed, judged, taken back; and the gold that comes out of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters.corpus.exchange import Exchange
from adapters.review import golden, listing, rows
from adapters.review.errors import NothingToUndo, ReviewError, UnknownExchange
from adapters.review.gold import Gold
from adapters.review.item import Candidate, Demanded, Kind, Review, State
from adapters.review.judging import (
    answer_of,
    is_right,
    must_be_free,
    must_not_have_judged,
    own_verdict,
)
from adapters.review.listing import Wanted
from adapters.review.models import ReviewRow, VerdictRow
from adapters.review.offered import offered
from adapters.review.parts import ReviewParts
from adapters.review.picking import REMEMBERED, in_order
from adapters.review.priority import Tier
from adapters.review.verdicts import Verdict

T = TypeVar("T")


class Reviews:
    """Methods block and are thread-safe; each that writes is one durable transaction.

    Args:
        parts: what it works with.
        consents: whether what a tenant's exchanges hold may be learnt, now.
        chance: a number from 0 to 1, for what measures reviewers.
    """

    def __init__(
        self,
        parts: ReviewParts,
        *,
        consents: Callable[[str], bool] = lambda _tenant: True,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._parts = parts
        self._consents = consents
        self._chance = chance

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
        exchange = self._parts.corpus.find(exchange_id)
        if exchange is None:
            raise UnknownExchange(f"there is no exchange {exchange_id!r}")
        identity = rows.name_of(exchange.id)

        def work(session: Session, now: float) -> tuple[str, bool]:
            row = _deciding(session, exchange.id) or session.get(ReviewRow, identity)
            is_new = row is None
            if row is None:
                kind = Kind.EXCHANGE if exchange.trains else Kind.DEMANDED
                row = rows.new_row(identity, kind, now)
                session.add(row)
            row.why = list(dict.fromkeys([*row.why, *reasons]))
            row.tier = max(row.tier, priority or Tier.USUAL)
            rows.about(session, row, exchange)
            rows.add_candidates(session, row, answers, now)
            return row.id, is_new

        review, is_new = self._parts.write(work)
        if is_new:
            self._parts.events.emit("review", id=review, state=State.OPEN.value)
        return review

    def demand(self, demanded: Demanded) -> bool:
        """Have a request reviewed because rules want it; whether it was not known yet.

        Its exchange comes later, by the way of all exchanges, or not at all.
        """

        def work(session: Session, now: float) -> bool:
            return rows.demand(session, demanded, now) is not None

        is_new = self._parts.write(work)
        if is_new:
            self._parts.events.emit("review", state=State.OPEN.value, **asdict(demanded))
        return is_new

    # Looking

    def find(self, identity: str) -> Review:
        """Everything about one item. Raises ``UnknownReview``."""
        now = self._parts.clock()
        with self._parts.store.read() as session:
            found = self._whole(session, rows.row_of(session, identity), now)
        exchange = None if found.exchange_id is None else self._parts.corpus.find(found.exchange_id)
        return _with(found, exchange)

    def of_exchange(self, exchange_id: str) -> Review | None:
        """The one that decides on an exchange, else one that a rule wants; None without any."""
        now = self._parts.clock()
        query = (
            select(ReviewRow)
            .where(ReviewRow.exchange_id == exchange_id, ReviewRow.kind != Kind.CHECK.value)
            .order_by((ReviewRow.kind == Kind.EXCHANGE.value).desc(), ReviewRow.opened_at.desc())
        )
        with self._parts.store.read() as session:
            row = session.scalars(query.limit(1)).first()
            return None if row is None else rows.review_of(row, self._parts.config.per_item, now)

    def page(self, wanted: Wanted) -> list[Review]:
        """Part of the queue, without candidates."""
        now = self._parts.clock()
        with self._parts.store.read() as session:
            found = listing.page(session, wanted, now)
            said = rows.verdicts_by_review(session, [row.id for row in found])
            reviews = [
                rows.review_of(row, self._parts.config.per_item, now, verdicts=said.get(row.id, ()))
                for row in found
            ]
        exchanges = self._exchanges(reviews)
        return [replace(each, exchange=exchanges.get(each.exchange_id or "")) for each in reviews]

    def _whole(self, session: Session, row: ReviewRow, now: float) -> Review:
        return rows.review_of(
            row,
            self._parts.config.per_item,
            now,
            candidates=rows.candidates_of(session, row.id),
            verdicts=rows.verdicts_of(session, row.id),
        )

    def _exchanges(self, reviews: Sequence[Review]) -> dict[str, Exchange]:
        return self._parts.corpus.found(e.exchange_id for e in reviews if e.exchange_id is not None)

    # Working

    def claim(self, identity: str, reviewer: str) -> None:
        """Take an item, for ``lock_s``; again to keep it longer.

        Raises ``UnknownReview``, ``Held``, ``AlreadyJudged``.
        """

        def work(session: Session, now: float) -> None:
            row = rows.row_of(session, identity)
            must_be_free(row, reviewer, now)
            must_not_have_judged(session, identity, reviewer)
            row.claimed_by, row.claimed_until = reviewer, now + self._parts.config.lock_s

        self._change(identity, work)

    def next(self, reviewer: str, intent: str | None = None) -> str | None:
        """Claim what this reviewer should look at next; None when nothing waits for him.

        By tier and weight, less of what he judged lately; in between what measures him.
        """
        wanted = Wanted(State.OPEN, intent, reviewer, to_do=True)
        now = self._parts.clock()
        check = self._chance() < self._parts.config.check_share
        with self._parts.store.read() as session:
            found = [*listing.page(session, wanted, now)]
            found += listing.checks(session, wanted, now) if check else []
            waiting = {
                row.id: rows.review_of(row, self._parts.config.per_item, now) for row in found
            }
            seen = listing.judged_lately(session, reviewer, REMEMBERED)
        for each in in_order([*waiting.values()], seen, check=check):
            try:
                self.claim(each.id, reviewer)
            except ReviewError:  # somebody was quicker
                continue
            return each.id
        return None

    def release(self, identity: str, reviewer: str) -> None:
        """Give an item back that one holds; nothing happens when nobody holds it.

        Raises ``UnknownReview``, ``Held``.
        """

        def work(session: Session, now: float) -> None:
            row = rows.row_of(session, identity)
            must_be_free(row, reviewer, now)
            rows.free(row)

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
        reviewer = rows.storable(reviewer)
        answer = None if answer is None else rows.storable(answer)

        def work(session: Session, now: float) -> None:
            row = rows.row_of(session, identity)
            must_be_free(row, reviewer, now)
            must_not_have_judged(session, identity, reviewer)
            item = _with(self._whole(session, row, now), given.exchange)
            right, source = answer_of(item, verdict, answer)
            said = VerdictRow(
                review_id=identity,
                reviewer=reviewer,
                verdict=verdict.value,
                answer=right,
                source=source,
                comment=rows.storable(comment),
                at=now,
                undone_at=None,
                right=is_right(row, verdict, right),
            )
            rows.add_verdict(session, row, said)
            rows.free(row)
            rows.settle(session, row, self._parts.config.per_item, now)

        self._change(identity, work)

    def undo(self, identity: str, reviewer: str) -> None:
        """Take one's own verdict back, and what it settled with it.

        Raises ``UnknownReview``, ``NothingToUndo``.
        """

        def work(session: Session, now: float) -> None:
            row = rows.row_of(session, identity)
            own = own_verdict(session, identity, reviewer)
            if own is None:
                raise NothingToUndo(f"no verdict of {reviewer} on {identity} stands")
            own.undone_at = now
            rows.settle(session, row, self._parts.config.per_item, now)

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
        with self._parts.store.read() as session:
            settled = golden.golden(session, intents, tenants)
        settled = [each for each in settled if self._consents(each.tenant)]
        exchanges = self._exchanges(settled)
        found = [
            golden.gold_of(each, exchanges[each.exchange_id])
            for each in settled
            if each.exchange_id in exchanges and exchanges[each.exchange_id].trains
        ]
        return [each for each in found if since is None or each.at >= since]

    def count_gold(self, intent: str | None = None, since: float | None = None) -> int:
        """How many gold answers there are; ``since`` is when they were settled."""
        with self._parts.store.read() as session:
            found = golden.count_by_tenant(session, intent, since)
        return sum(count for tenant, count in found.items() if self._consents(tenant))

    # Writing

    def _change(self, identity: str, work: Callable[[Session, float], Any]) -> None:
        """Do something to one item, move its exchange along, and tell."""

        def whole(session: Session, now: float) -> State:
            work(session, now)
            session.flush()
            row = rows.row_of(session, identity)
            rows.place(session, self._parts.corpus, row, now)
            return rows.review_of(row, self._parts.config.per_item, now).state

        self._parts.events.emit("review", id=identity, state=self._parts.write(whole).value)


def _with(review: Review, exchange: Exchange | None) -> Review:
    if exchange is None:
        return review
    there = offered(exchange, review.candidates)
    return replace(review, exchange=exchange, candidates=there)


def _deciding(session: Session, exchange_id: str) -> ReviewRow | None:
    return session.scalar(
        select(ReviewRow).where(
            ReviewRow.exchange_id == exchange_id, ReviewRow.kind == Kind.EXCHANGE.value
        )
    )
