"""The gold answers, read from reviews and their exchanges."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from adapters.corpus import tools
from adapters.corpus.exchange import Exchange
from adapters.review import rows
from adapters.review.gold import Gold
from adapters.review.item import Kind, Review
from adapters.review.models import ReviewRow
from adapters.review.verdicts import Outcome, folded

UNKNOWN_TOOLS = "calls of others"


def golden(
    session: Session, intents: Iterable[str] | None, tenants: Iterable[str] | None
) -> list[Review]:
    """Reviews that settled on an answer, the first settled first; with what was said."""
    query = select(ReviewRow).where(*_is_gold())
    if intents is not None:
        query = query.where(ReviewRow.intent.in_(list(intents)))
    if tenants is not None:
        query = query.where(ReviewRow.tenant.in_(list(tenants)))
    found = session.scalars(query.order_by(ReviewRow.settled_at, ReviewRow.id)).all()
    said = rows.verdicts_by_review(session, [row.id for row in found])
    return [rows.review_of(row, 1, 0.0, verdicts=said.get(row.id, ())) for row in found]


def count_by_tenant(session: Session, intent: str | None, since: float | None) -> dict[str, int]:
    """How many of them there are; ``since`` is when they were settled."""
    query = select(ReviewRow.tenant, func.count()).where(*_is_gold()).group_by(ReviewRow.tenant)
    if intent is not None:
        query = query.where(ReviewRow.intent == intent)
    if since is not None:
        query = query.where(ReviewRow.settled_at >= since)
    return {tenant: count for tenant, count in session.execute(query).all()}  # noqa: C416 - typed


def _is_gold() -> tuple[ColumnElement[bool], ...]:
    return (ReviewRow.outcome == Outcome.GOLD.value, ReviewRow.kind == Kind.EXCHANGE.value)


def gold_of(review: Review, exchange: Exchange) -> Gold:
    """One gold answer. ``review`` has settled on it."""
    answer = review.answer or ""
    assert review.provenance is not None
    details, is_given = exchange.details, answer == exchange.response
    asked = tools.offered(details)
    beside = details.get(tools.CALLS) if is_given else None
    calls = tools.calls_of(beside, asked.names)
    return Gold(
        exchange_id=exchange.id,
        at=exchange.at,
        settled_at=review.settled_at or 0.0,
        intent=exchange.intent,
        tenant=exchange.tenant,
        session=exchange.session,
        messages=exchange.messages,
        answer=answer,
        provenance=review.provenance,
        reviewers=tuple(
            said.reviewer
            for said in review.history
            if said.undone_at is None and folded(said.answer) == folded(answer)
        ),
        teacher=review.source or exchange.target,
        subjects=exchange.subjects,
        details=details if is_given else None,
        tools=asked.tools,
        calls=tuple(calls),
        left_out=asked.left_out or (UNKNOWN_TOOLS if beside and not calls else ""),
    )
