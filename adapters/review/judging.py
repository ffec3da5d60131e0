"""Whether a verdict may be given, and which answer it is about."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters.corpus import tools
from adapters.review.errors import AlreadyJudged, BadAnswer, Held
from adapters.review.item import Review, State
from adapters.review.models import ReviewRow, VerdictRow
from adapters.review.priority import Tier
from adapters.review.verdicts import REVIEWER, Outcome, Verdict, folded


def own_verdict(session: Session, identity: str, reviewer: str) -> VerdictRow | None:
    """What this reviewer said of an item, where it stands."""
    return session.scalar(
        select(VerdictRow).where(
            VerdictRow.review_id == identity,
            VerdictRow.reviewer == reviewer,
            VerdictRow.undone_at.is_(None),
        )
    )


def must_be_free(row: ReviewRow, reviewer: str, now: float) -> None:
    """Raises ``Held`` while another reviewer holds an item."""
    if row.claimed_by not in {None, reviewer} and row.claimed_until > now:
        left = int(row.claimed_until - now) + 1
        raise Held(f"{row.claimed_by} holds {row.id} for {left} more seconds")


def must_not_have_judged(session: Session, identity: str, reviewer: str) -> None:
    """Raises ``AlreadyJudged`` when a verdict of this reviewer stands."""
    if own_verdict(session, identity, reviewer) is not None:
        raise AlreadyJudged(f"{reviewer} has judged {identity}")


def answer_of(item: Review, verdict: Verdict, answer: str | None) -> tuple[str, str]:
    """The answer that a verdict is about, and who gave it. Raises ``BadAnswer``.

    It is empty where a rule lets nobody answer before: accepting that permits an answer.
    """
    if verdict in {Verdict.REJECT, Verdict.ESCALATE}:
        if answer:
            raise BadAnswer(f"{verdict.value} takes no answer; edit does")
        return "", ""
    if verdict is Verdict.EDIT:
        if answer is None or not answer.strip():
            raise BadAnswer("edit needs the right answer")
        return _in_one_spelling(item, answer), ""
    exchange = item.exchange
    given = ("", "") if exchange is None else (exchange.response, exchange.target)
    if answer is None and not given[0].strip() and item.tier != Tier.AWAITED:
        raise BadAnswer("no answer went out; to write one, edit")
    return given if answer is None else _there(item, given, answer)


def _in_one_spelling(item: Review, answer: str) -> str:
    """Calls of the offered tools as answers have them, so that two who write the same agree."""
    details = {} if item.exchange is None else item.exchange.details
    return tools.in_one_spelling(answer, tools.offered(details).names)


def _there(item: Review, given: tuple[str, str], answer: str) -> tuple[str, str]:
    known = [given, *((each.answer, each.source) for each in item.candidates)]
    if item.disputed or item.escalated or item.state is State.DONE:
        known += [(said.answer, said.source or REVIEWER) for said in item.history]
    for text, source in known:
        if text and folded(text) == folded(answer):
            return text, source
    raise BadAnswer("no candidate has this answer; to write one, edit")


def is_right(row: ReviewRow, verdict: Verdict, answer: str) -> bool | None:
    """Of an item that measures reviewers; None of others, and of who does not say."""
    if row.known is None or verdict is Verdict.ESCALATE:
        return None
    if verdict is Verdict.REJECT:
        return bool(row.known["outcome"] == Outcome.REJECTED)
    same = folded(str(row.known["answer"])) == folded(answer)
    return bool(row.known["outcome"] == Outcome.GOLD) and same
