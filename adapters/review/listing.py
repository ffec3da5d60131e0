"""Pages of the queue, in the order in which it is worked off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, not_, or_, select
from sqlalchemy.orm import Session, aliased

from adapters.review import rows
from adapters.review.item import RETIRED, Kind, Review, State
from adapters.review.models import ReviewRow, VerdictRow


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


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which part of the queue.

    Attributes:
        reader: is not shown what measures him and what he knows already.
        to_do: only what the reader has not judged.
    """

    state: State | None = None
    intent: str | None = None
    reader: str = ""
    to_do: bool = False
    limit: int = 100
    after: After | None = None


def page(session: Session, wanted: Wanted, now: float) -> Sequence[ReviewRow]:
    """What to do next first; of what is done, the newest first."""
    query = select(ReviewRow).where(ReviewRow.state != RETIRED)
    if wanted.state is not None:
        query = query.where(rows.in_state(wanted.state, now))
    if wanted.intent is not None:
        query = query.where(ReviewRow.intent == rows.storable(wanted.intent))
    measured = and_(ReviewRow.kind == Kind.CHECK.value, _knows(wanted.reader))
    query = query.where(not_(measured))
    if wanted.to_do:
        query = query.where(not_(judged_by(wanted.reader)))
    if wanted.after is not None:
        query = query.where(_behind(wanted.after, wanted.state))
    return session.scalars(query.order_by(*_order(wanted.state)).limit(wanted.limit)).all()


def checks(session: Session, wanted: Wanted, now: float) -> Sequence[ReviewRow]:
    """What may measure the reader, in no order."""
    query = select(ReviewRow).where(
        ReviewRow.kind == Kind.CHECK.value,
        rows.in_state(State.OPEN, now),
        not_(_knows(wanted.reader)),
    )
    if wanted.intent is not None:
        query = query.where(ReviewRow.intent == rows.storable(wanted.intent))
    return session.scalars(query.order_by(func.random()).limit(1)).all()


def judged_lately(session: Session, reviewer: str, most: int) -> list[str]:
    """The intents of a reviewer's newest verdicts."""
    query = (
        select(ReviewRow.intent)
        .join(VerdictRow, VerdictRow.review_id == ReviewRow.id)
        .where(VerdictRow.reviewer == reviewer)
        .order_by(VerdictRow.at.desc())
        .limit(most)
    )
    return [*session.scalars(query)]


def judged_by(reviewer: str) -> ColumnElement[bool]:
    """Whether a verdict of this reviewer stands."""
    return exists().where(
        VerdictRow.review_id == ReviewRow.id,
        VerdictRow.reviewer == reviewer,
        VerdictRow.undone_at.is_(None),
    )


def _knows(reviewer: str) -> ColumnElement[bool]:
    """Whether this reviewer judged the same exchange, here or elsewhere."""
    same = aliased(ReviewRow)
    return exists().where(
        same.exchange_id == ReviewRow.exchange_id,
        VerdictRow.review_id == same.id,
        VerdictRow.reviewer == reviewer,
        VerdictRow.undone_at.is_(None),
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
